#!/bin/sh
# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# issue.sh NAME CA: a key and a certificate, in NAME.p12, by a CA in this folder, which is made if there is none.
set -eu
umask 077
name=$1 ca=$2
[ -e "$ca.pem" ] ||
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$ca.key" -out "$ca.pem" -days 9 -subj "/O=Lab/CN=$ca"
openssl req -newkey rsa:2048 -nodes -keyout key -out request -subj "/O=Lab/CN=$name"
openssl x509 -req -in request -CA "$ca.pem" -CAkey "$ca.key" -CAcreateserial -days 9 -out certificate
# the name in it is not the one that it shall have
openssl pkcs12 -export -inkey key -in certificate -certfile "$ca.pem" -name "of $name" -passout file:passphrase \
    -out "$name.p12"
rm key request certificate
