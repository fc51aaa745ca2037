#!/usr/bin/python
# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipsec_status
short_description: Tell the state of the IPsec subsystem of a Linux gateway
version_added: 0.1.0
description:
  - Returns what C(ipsec setup status) should tell. Whether IPsec runs, what is strange about it, every connection
    with its tunnels and the reason when it is not up, what the kernel holds, and how the host's network is set.
  - It looks at processes, lock file, control socket, unit and kernel each by itself,
    so that one that lies is found out.
  - It changes nothing, and needs root on the gateway.
  - Keys are never read, and so are never returned.
extends_documentation_fragment:
  - xswan.ipsec.attributes
  - xswan.ipsec.attributes.facts
options:
  gather_subset:
    description:
      - What to gather, as in M(ansible.builtin.setup). The default is what costs little.
      - V(min) is whether IPsec runs, findings and sums. It is always gathered, unless V(!min) is given.
      - V(daemon) is what pluto says of itself. V(connections) is every connection with its tunnels.
        V(kernel) is the kernel's SAs and policies. V(host) is forwarding, redirects, default routes and who holds
        the IKE ports.
      - V(links) is xfrm, vti and KLIPS devices. It needs pyroute2, whose import takes longer than all else.
      - V(firewall) is which rules refuse IPsec. It runs C(nft), or C(iptables-save) and C(ip6tables-save).
      - V(all) is all of these. A name with V(!) before it is left out, of the default when no other name is given.
        V(!all) leaves out all but V(min) and what is named besides.
    type: list
    elements: str
    default: [daemon, connections, kernel, host]
  connections:
    description:
      - Names of the connections to return, with V(*), V(?) and V([...]) as in a shell.
      - Sums and counts are those of all connections, whatever is given here.
    type: list
    elements: str
    default: ["*"]
  list_limit:
    description:
      - Return at most so many SAs and so many policies of the kernel one by one, in RV(ipsec.kernel).
      - V(0) returns none. It only has a meaning with the subset V(kernel).
    type: int
    default: 0
  list_address:
    description:
      - List only SAs with an end in this IP address or network, and policies that concern it.
      - With O(list_limit=0) it has no effect.
    type: str
  config:
    description:
      - Path of ipsec.conf on the gateway. It says which connections there should be.
    type: path
    default: /etc/ipsec.conf
  launcher:
    description:
      - What starts pluto. It is asked for its view of pluto.
      - V(auto) is systemd where it runs the host, else the init script C(ipsec) where there is one, else nothing.
    type: str
    choices: [auto, systemd, script, direct]
    default: auto
  backend:
    description:
      - The kernel's IPsec part that is looked at.
      - V(auto) is what the program makes of C(protostack=) in its configuration.
        That is V(xfrm) for Libreswan 4 and later. Of V(klips) only sizes are told. V(none) looks at none.
    type: str
    choices: [auto, xfrm, klips, none]
    default: auto
seealso:
  - module: xswan.ipsec.ipsec_setup
  - module: ansible.builtin.setup
author:
  - The xswan.ipsec authors (@xswan)
"""

EXAMPLES = r"""
- name: Look at IPsec
  xswan.ipsec.ipsec_status:
  register: status

- name: Show the words of ipsec setup status
  ansible.builtin.debug:
    var: status.ipsec.lines

- name: Show the connections that are not as they should be, and why
  ansible.builtin.debug:
    msg: "{{ item.key }}: {{ item.value.reason.message }}; {{ item.value.reason.cure }}"
  loop: "{{ status.ipsec.connections | dict2items | rejectattr('value.well') }}"
  loop_control:
    label: "{{ item.key }}"

- name: Wait until two tunnels are up
  xswan.ipsec.ipsec_status:
    gather_subset: [min]
  register: status
  until: status.ipsec.tunnels_up >= 2
  retries: 30
  delay: 1

- name: List the SAs with one peer
  xswan.ipsec.ipsec_status:
    gather_subset: [kernel]
    list_limit: 100
    list_address: 192.0.2.7

- name: See which rules of the firewall refuse IPsec
  xswan.ipsec.ipsec_status:
    gather_subset: [firewall]
  register: status
  failed_when: status.ipsec.host.firewall.refuses | length > 0
"""

RETURN = r"""
about:
  description: What went wrong, if anything did, and for what the module has waited, in one line for a person.
  returned: after a failure, or when it has waited longer than a few seconds
  type: str
  sample: "the kernel did not answer in 20 s; look at its log, and try again"
ansible_facts:
  description: Facts to add.
  returned: success
  type: dict
  contains:
    ipsec:
      description: The same as RV(ipsec).
      type: dict
      returned: success
      sample: {state: running, tunnels_up: 1}
ipsec:
  description: The gateway as it was seen.
  returned: success
  type: dict
  contains:
    at:
      description: When it was seen, in seconds since the epoch.
      type: int
      returned: success
      sample: 1796000060
    gathered:
      description: The subsets that were gathered.
      type: list
      elements: str
      returned: success
      sample: [connections, daemon, host, kernel, min]
    state:
      description:
        - V(running) or V(stopped), or what is strange.
        - With a Pluto, V(orphaned) has no lock file, V(illicit) is not the one that the lock file names,
          V(several) are more than one, V(unreachable) has no control socket, V(hung) does not answer,
          V(deaf) listens on no interface, V(backend-missing) has no XFRM in the kernel.
        - Without a Pluto, V(dead), V(reused-pid) and V(damaged-lock) are a lock file that names nobody,
          another program, or nothing, V(stale-socket) is a control socket, V(stale-kernel-state) are policies or SAs,
          V(leftover-interface) is an ipsecN device, V(leftover-lock) a lock file of Openswan or of an init script,
          V(leftover-log-rule) a firewall rule of C(nflog-all=).
        - V(flapping) is a unit that its manager starts again and again.
      type: str
      returned: subset min
      sample: running
    running:
      description: Whether RV(ipsec.state) is V(running).
      type: bool
      returned: subset min
      sample: true
    lines:
      description: The lines that C(ipsec setup status) prints by its manual.
      type: list
      elements: str
      returned: subset min
      sample: [IPsec running, pluto pid 814]
    exit_status:
      description: What C(ipsec setup status) exits with by its manual. V(1) when something is strange, else V(0).
      type: int
      returned: subset min
      sample: 0
    lsb_status:
      description:
        - The exit status of an LSB init script.
        - V(0) running, V(1) dead with a lock file, V(2) dead with a lock of an init script, V(3) stopped, V(4) unclear.
      type: int
      returned: subset min
      sample: 0
    findings:
      description:
        - Everything that is strange, the worst first.
        - With the subsets V(connections) or V(kernel) also where pluto and the kernel disagree,
          V(child-sa-without-kernel-sa), V(kernel-sa-without-child-sa) and V(policy-without-sa). These are looked at
          twice.
      type: list
      elements: dict
      returned: subset min
      sample:
        - id: dead
          severity: error
          message: "Pluto is dead: its lock file /run/pluto/pluto.pid names pid 814, which does not exist"
          cure: run ipsec_setup with state stopped to remove it, or state started to start afresh
    program:
      description: The IPsec program, null when none is installed.
      type: str
      returned: subset min
      sample: Libreswan
    version:
      description: Its version, null when none is installed.
      type: str
      returned: subset min
      sample: "4.10"
    pluto_pid:
      description: Process id of pluto, null when none runs.
      type: int
      returned: subset min
      sample: 814
    pluto_started:
      description: When pluto was started, in seconds since the epoch, null when none runs.
      type: int
      returned: subset min
      sample: 1796000000
    config:
      description: Path of ipsec.conf.
      type: str
      returned: subset min
      sample: /etc/ipsec.conf
    launcher:
      description: What starts pluto on this host, V(systemd), V(script) or V(direct).
      type: str
      returned: subset min
      sample: systemd
    unit:
      description: The service manager's own view, null when it has no unit for pluto.
      type: dict
      returned: subset min
      sample:
        name: ipsec.service
        active: active
        sub: running
        enabled: true
        masked: false
        main_pid: 814
        restarts: 0
        result: success
    enabled:
      description: Whether IPsec starts at boot, null when the service manager has no unit for pluto.
      type: bool
      returned: subset min
      sample: true
    connections_loaded:
      description: Connections that pluto holds, null when it does not answer.
      type: int
      returned: subset min
      sample: 1
    tunnels_up:
      description: Connections with at least one established Child SA.
      type: int
      returned: subset min
      sample: 1
    bytes_in:
      description: Bytes that came in through all established Child SAs.
      type: int
      returned: subset min
      sample: 168
    bytes_out:
      description: Bytes that went out through all established Child SAs.
      type: int
      returned: subset min
      sample: 168
    backend:
      description: The kernel's IPsec part, V(xfrm), V(klips) or V(none).
      type: str
      returned: subset min
      sample: xfrm
    uptime:
      description: Seconds since pluto was started, null when none runs.
      type: int
      returned: subset daemon
      sample: 86400
    upgraded:
      description: Whether a pluto runs whose binary was replaced on disk since.
      type: bool
      returned: subset daemon
      sample: false
    interfaces:
      description: Network interfaces on which pluto listens for IKE.
      type: list
      elements: str
      returned: subset daemon
      sample: [eth0, lo]
    listening:
      description: Addresses and ports on which pluto listens. Its C(nat_t) is whether ESP in UDP is taken there, too.
      type: list
      elements: dict
      returned: subset daemon
      sample: [{interface: eth0, address: 192.0.2.1, port: 500, protocol: udp, nat_t: false}]
    nat_t:
      description: Whether NAT traversal is on, null when pluto does not say.
      type: bool
      returned: subset daemon
      sample: true
    fips:
      description: Whether pluto runs in FIPS mode, null when it does not say.
      type: bool
      returned: subset daemon
      sample: false
    seccomp:
      description: Its seccomp mode, null when it does not say.
      type: str
      returned: subset daemon
      sample: disabled
    selinux:
      description: What it says of SELinux, null when it does not say.
      type: str
      returned: subset daemon
      sample: disabled
    nssdir:
      description: Folder of its NSS database, with keys and certificates, null when it does not say.
      type: str
      returned: subset daemon
      sample: /var/lib/ipsec/nss
    secrets_file:
      description: Path of ipsec.secrets, null when it does not say.
      type: str
      returned: subset daemon
      sample: /etc/ipsec.secrets
    unknown_lines:
      description: How many lines of what pluto said were not understood. More than 0 is worth a report to the authors.
      type: int
      returned: subset daemon
      sample: 0
    unknown:
      description: The first of these lines.
      type: list
      elements: str
      returned: subset daemon
      sample: []
    connections:
      description:
        - Every connection that the configuration declares or that pluto holds, by name.
          Instances, and expansions of C(subnets=) such as C(net/1x2), belong to their connection.
        - Times are seconds since the epoch. Null is what is not known.
      type: dict
      returned: subset connections
      sample:
        office:
          declared: true
          auto: start
          loaded: true
          routed: true
          established: true
          state: established
          well: true
          reason: null
          local:
            address: 192.0.2.1
            id: "@office"
            subnets: [10.1.0.0/24]
            auth: rsasig
            interface: eth0
            certificate: office
            certificate_expires: 1827536000
          remote: {address: 192.0.2.2, id: "@plant", subnets: [10.2.0.0/24], auth: rsasig}
          ike:
            serial: 1
            state: established
            version: 2
            established: 1796000000
            age: 60
            algorithms: AES_GCM_16_256-HMAC_SHA2_512-DH19
            rekey_in: 28200
            peer: 192.0.2.2
            initiator: null
          child_sas:
            - serial: 2
              connection: '"office"'
              state: established
              added: 1796000000
              bytes_in: 168
              bytes_out: 168
              rekey_in: 28100
              algorithms: AES_GCM_16_256-NONE
              spi_in: "0x5a7e0001"
              spi_out: "0x5a7e0002"
              reqid: null
              peer: 192.0.2.2
              lease: null
              username: null
          bytes_in: 168
          bytes_out: 168
          last_traffic: 1796000060
          instances: 0
          expansions: 0
      contains:
        NAME:
          description: The connection of this name. Every connection has all of these keys.
          type: dict
          returned: subset connections
          contains:
            declared:
              description: Whether the configuration has it.
              type: bool
              returned: subset connections
            auto:
              description: The newest word for its C(auto=), V(ignore), V(add), V(keep), V(ondemand) or V(start),
                null when it is not declared.
              type: str
              returned: subset connections
            loaded:
              description: Whether pluto holds it.
              type: bool
              returned: subset connections
            routed:
              description: Whether packets for it are taken, by a tunnel or by what waits for the first packet.
              type: bool
              returned: subset connections
            established:
              description: Whether it has a Child SA.
              type: bool
              returned: subset connections
            state:
              description:
                - V(established), V(partial) (some expansions only), V(connecting), V(down), V(ondemand)
                  (waits for traffic), V(waiting) (waits for the peer, or for an order), V(unloaded) (by
                  C(auto=ignore)), V(rejected) (pluto should hold it and does not), or V(stopped) (pluto does not run
                  or does not answer).
              type: str
              returned: subset connections
            well:
              description: Whether it is as the configuration wants it.
              type: bool
              returned: subset connections
            reason:
              description: Why it is not well, null when it is.
              type: dict
              returned: subset connections
              contains:
                id:
                  description:
                    - V(no-answer), V(no-proposal), V(authentication-failed), V(unoriented), V(traffic-selectors),
                      V(certificate-missing), V(certificate-expired), V(interface-missing), V(rejected),
                      V(kernel-sa-missing), V(not-started) or V(unknown).
                  type: str
                  returned: when the connection is not well
                message:
                  description: What is wrong.
                  type: str
                  returned: when the connection is not well
                cure:
                  description: What to do.
                  type: str
                  returned: when the connection is not well
                log:
                  description:
                    - The line of pluto's log that shows it, null where there is none.
                    - Libreswan 5.2 logs none for V(unoriented), which it tells in its status.
                      No version has one for V(not-started) and V(kernel-sa-missing).
                  type: str
                  returned: when the connection is not well
            local:
              description: This gateway's end.
              type: dict
              returned: subset connections
              contains:
                address:
                  description: Its address as pluto holds it, or a word such as V(%any), null when it is not loaded.
                  type: str
                  returned: subset connections
                id:
                  description: Its IKE identity.
                  type: str
                  returned: subset connections
                subnets:
                  description: What is behind it, of all expansions and instances.
                  type: list
                  elements: str
                  returned: subset connections
                auth:
                  description: How it authenticates itself, by ipsec.conf's word, such as V(secret), V(rsasig), V(ecdsa)
                    or V(null).
                  type: str
                  returned: subset connections
                interface:
                  description: The network interface that the connection uses, null when pluto has found none for it.
                  type: str
                  returned: subset connections
                certificate:
                  description: Nickname of its certificate in the NSS database, null when it has none.
                  type: str
                  returned: subset connections
                certificate_expires:
                  description: When that expires.
                  type: int
                  returned: subset connections
            remote:
              description: The peer's end, as the configuration has it.
              type: dict
              returned: subset connections
              contains:
                address:
                  description: See C(address) of the local end.
                  type: str
                  returned: subset connections
                id:
                  description: See C(id) of the local end.
                  type: str
                  returned: subset connections
                subnets:
                  description: See C(subnets) of the local end.
                  type: list
                  elements: str
                  returned: subset connections
                auth:
                  description: See C(auth) of the local end.
                  type: str
                  returned: subset connections
            ike:
              description: The IKE SA of its newest Child SA, else its own newest one, null when there is none.
                Connections between the same gateways may share one.
              type: dict
              returned: subset connections
              contains:
                serial:
                  description: The number that pluto gives it, C(#1).
                  type: int
                  returned: when there is an IKE SA
                state:
                  description: V(established) or V(half-open).
                  type: str
                  returned: when there is an IKE SA
                version:
                  description: Of IKE, V(1) or V(2).
                  type: int
                  returned: when there is an IKE SA
                established:
                  description: When it was established, null where C(age) is.
                  type: int
                  returned: when there is an IKE SA
                age:
                  description:
                    - Seconds since it was established.
                    - Pluto prints no such time. It follows from the lifetime and the time to the end of it, where pluto
                      prints both, as Libreswan 4.10 and 5.2 do for IKEv2.
                    - Null for IKEv1 on all versions, and for everything on Libreswan 4.3 and on Openswan.
                  type: int
                  returned: when there is an IKE SA
                algorithms:
                  description: Encryption, PRF or integrity, and group, as pluto prints them, null until it is
                    established.
                  type: str
                  returned: when there is an IKE SA
                rekey_in:
                  description: Seconds until it is rekeyed or replaced, null where pluto does not tell.
                  type: int
                  returned: when there is an IKE SA
                peer:
                  description: The peer's address.
                  type: str
                  returned: when there is an IKE SA
                initiator:
                  description: Whether this gateway began it, null where pluto does not tell, as of an established one
                    of IKEv2.
                  type: bool
                  returned: when there is an IKE SA
            child_sas:
              description: Its established Child SAs, by number. While one is replaced there are two.
              type: list
              elements: dict
              returned: subset connections
              contains:
                serial:
                  description: The number that pluto gives it, C(#2).
                  type: int
                  returned: when there is a Child SA
                connection:
                  description: The connection's name in quotes, with expansion and instance, as pluto prints it.
                  type: str
                  returned: when there is a Child SA
                state:
                  description: V(established).
                  type: str
                  returned: when there is a Child SA
                added:
                  description: When it was established.
                  type: int
                  returned: when there is a Child SA
                bytes_in:
                  description: Bytes that came in through it.
                  type: int
                  returned: when there is a Child SA
                bytes_out:
                  description: Bytes that went out through it.
                  type: int
                  returned: when there is a Child SA
                rekey_in:
                  description: Seconds until it is rekeyed or replaced, null where pluto does not tell.
                  type: int
                  returned: when there is a Child SA
                algorithms:
                  description: Encryption and integrity, as pluto prints them.
                  type: str
                  returned: when there is a Child SA
                spi_in:
                  description: SPI of the kernel SA for what comes in.
                  type: str
                  returned: when there is a Child SA
                spi_out:
                  description: SPI of the kernel SA for what goes out.
                  type: str
                  returned: when there is a Child SA
                reqid:
                  description: The reqid of its kernel SAs, null where pluto does not tell, as up to Libreswan 5.2.
                  type: int
                  returned: when there is a Child SA
                peer:
                  description: The peer's address.
                  type: str
                  returned: when there is a Child SA
                lease:
                  description: The address that the peer was given, null when there is none.
                  type: str
                  returned: when there is a Child SA
                username:
                  description: The peer's name by XAUTH, null when there is none.
                  type: str
                  returned: when there is a Child SA
            bytes_in:
              description: Bytes that came in through its established Child SAs.
              type: int
              returned: subset connections
            bytes_out:
              description: Bytes that went out through its established Child SAs.
              type: int
              returned: subset connections
            last_traffic:
              description:
                - When its established Child SAs last carried a packet, in either direction, null when they have carried
                  none.
                - The kernel's SAs tell it since Linux 6.2. Before, and for SAs without a packet, it is when a packet
                  last met their policies, which the kernel need not ask for each packet that the gateway itself sends.
                - Of KLIPS, it is what Openswan tells, else null.
              type: int
              returned: subset connections
            instances:
              description: How many instances it has, one for each peer of a template such as C(right=%any).
              type: int
              returned: subset connections
            expansions:
              description: How many connections pluto has made of it for C(subnets=) or a group, 0 when there is
                nothing to expand.
              type: int
              returned: subset connections
    kernel:
      description: The kernel's IPsec part, whoever filled it. Policies and SAs are foreign when no pluto made them.
      type: dict
      returned: subset kernel or links
      contains:
        backend:
          description: The same as RV(ipsec.backend).
          type: str
          returned: subset kernel
          sample: xfrm
        loaded:
          description: Whether it is loaded. When not, all numbers are 0.
          type: bool
          returned: subset kernel
          sample: true
        sas:
          description: SAs, larval ones included.
          type: int
          returned: subset kernel
          sample: 2
        larval:
          description: SAs that have no keys yet. The kernel or pluto wait for a negotiation.
          type: int
          returned: subset kernel
          sample: 0
        policies_in:
          description: Policies for what comes in to the host itself.
          type: int
          returned: subset kernel
          sample: 1
        policies_out:
          description: Policies for what goes out.
          type: int
          returned: subset kernel
          sample: 1
        policies_fwd:
          description: Policies for what comes in and is forwarded.
          type: int
          returned: subset kernel
          sample: 1
        policies_socket:
          description: Policies of sockets. A pluto has some on its own.
          type: int
          returned: subset kernel
          sample: 8
        foreign_sas:
          description: SAs that no pluto made.
          type: int
          returned: subset kernel
          sample: 0
        foreign_policies:
          description: Policies that no pluto made, but for those of sockets.
          type: int
          returned: subset kernel
          sample: 0
        totals:
          description: What the mature SAs of each reqid have carried. Both directions of a tunnel have the same.
          type: list
          elements: dict
          returned: subset kernel
          sample: [{reqid: 16389, sas: 2, bytes: 336, packets: 4}]
        statistics:
          description: Counters of dropped packets that are not 0, by their names in C(/proc/net/xfrm_stat).
          type: dict
          returned: subset kernel
          sample: {XfrmInNoStates: 3}
        offloaded:
          description: SAs that a network device works on.
          type: int
          returned: subset kernel
          sample: 0
        acq_expires:
          description: Seconds that a larval SA lives, null when the backend is not loaded.
          type: int
          returned: subset kernel
          sample: 30
        sa_list:
          description:
            - SAs one by one, as many as O(list_limit) and O(list_address) let through.
            - C(last_used) is null where an SA has carried nothing, and on Linux before 6.2, which does not tell.
          type: list
          elements: dict
          returned: subset kernel with O(list_limit)
          sample:
            - source: 192.0.2.1
              destination: 192.0.2.2
              spi: "0x5a7e0002"
              protocol: esp
              mode: tunnel
              reqid: 16389
              own: true
              larval: false
              algorithms: [rfc4106(gcm(aes))]
              bytes: 168
              packets: 2
              added: 1796000001
              last_used: 1796000060
              replay_window: 128
              sequence_in: 0
              sequence_out: 2
              replay_errors: 0
              integrity_errors: 0
              flags: [esn]
              encapsulation: null
              mark: null
              if_id: null
              offload: null
        policy_list:
          description: Policies one by one, but for those of sockets. C(last_used) is when a packet last met it.
          type: list
          elements: dict
          returned: subset kernel with O(list_limit)
          sample:
            - direction: out
              source: 10.1.0.0/24
              destination: 10.2.0.0/24
              protocol: null
              source_port: null
              destination_port: null
              interface: null
              action: allow
              priority: 1757393
              index: 473
              bytes: 0
              packets: 0
              added: 1796000001
              last_used: 1796000060
              mark: null
              if_id: null
              templates:
                - source: 192.0.2.1
                  destination: 192.0.2.2
                  protocol: esp
                  mode: tunnel
                  reqid: 16389
                  optional: false
        interfaces:
          description: Network devices through which IPsec routes, of kind V(xfrm), V(vti), V(vti6) or V(ipsec) (KLIPS).
          type: list
          elements: dict
          returned: subset links
          sample: [{name: ipsec1, kind: xfrm, if_id: 1, link: eth0, up: true, mtu: 1400, addresses: [10.9.0.1/30]}]
    host:
      description:
        - The host's own settings that decide whether traffic reaches and leaves tunnels.
        - The interfaces on which pluto listens are RV(ipsec.interfaces). The one that a connection uses is
          C(interface) of its C(local) in RV(ipsec.connections).
      type: dict
      returned: subset host or firewall
      contains:
        ip_forward:
          description: Whether the host forwards, by family, null when the kernel has none of that family.
          type: dict
          returned: subset host
          sample: {ipv4: true, ipv6: false}
        rp_filter:
          description:
            - Reverse path filter of IPv4 by interface, V(0) off, V(1) strict, V(2) loose.
            - The highest of C(all) and the interface's own holds.
          type: dict
          returned: subset host
          sample: {all: 0, default: 2, eth0: 0}
        send_redirects:
          description: Whether the host sends ICMP redirects of IPv4, by interface. Either C(all) or its own is enough.
          type: dict
          returned: subset host
          sample: {all: 0, default: 0, eth0: 0}
        accept_redirects:
          description: Whether the host accepts ICMP redirects of IPv4, by interface.
          type: dict
          returned: subset host
          sample: {all: 0, default: 0, eth0: 0}
        default_route:
          description: Default routes of the main table, in the order of their use.
          type: list
          elements: dict
          returned: subset host
          sample: [{family: ipv4, interface: eth0, gateway: 192.0.2.254, metric: 0}]
        ike_ports:
          description: Sockets on UDP 500 and 4500, and who holds them. A pid of null is a process out of sight.
          type: list
          elements: dict
          returned: subset host
          sample: [{port: 500, address: 192.0.2.1, pid: 814, name: pluto}]
        firewall:
          description:
            - What the firewall refuses of what a peer begins, V(esp), V(ike) (UDP 500) or V(nat-t) (UDP 4500).
            - Only what is sure is told. That is a rule, or the policy of an input chain, that drops or rejects all of
              it and has nothing before it that may accept some.
            - Its C(tool) is V(nftables), V(iptables), or null when there is neither.
          type: dict
          returned: subset firewall
          sample:
            tool: nftables
            refuses: [{what: esp, table: inet filter, chain: input, rule: policy drop}]
"""

import typing as t

from ..module_utils._imports import compile_once

compile_once()

from ..module_utils._facts import DEFAULT, Request, chosen, gather
from ..module_utils._host import Host
from ..module_utils._model import Listing
from ..module_utils._module import Module, run


def request_from(params: dict[str, t.Any]) -> Request:
    """Translate the module's parameters; ConfigError for a subset that there is not."""
    return Request(
        subsets=chosen(params["gather_subset"]),
        connections=tuple(params["connections"]),
        listing=Listing(params["list_limit"], params["list_address"]),
    )


def status(host: Host, params: dict[str, t.Any]) -> dict[str, t.Any]:
    """One look at the host, as module result and as facts."""
    facts = gather(host, request_from(params))
    return {"changed": False, "ipsec": facts, "ansible_facts": {"ipsec": facts}}


def main() -> None:
    """Run the module."""
    module = Module(
        argument_spec={
            "gather_subset": {"type": "list", "elements": "str", "default": list(DEFAULT)},
            "connections": {"type": "list", "elements": "str", "default": ["*"]},
            "list_limit": {"type": "int", "default": 0},
            "list_address": {"type": "str"},
            "config": {"type": "path", "default": "/etc/ipsec.conf"},
            "launcher": {"type": "str", "choices": ["auto", "systemd", "script", "direct"], "default": "auto"},
            "backend": {"type": "str", "choices": ["auto", "xfrm", "klips", "none"], "default": "auto"},
        },
        supports_check_mode=True,
    )
    run(module, lambda host: status(host, module.params))


if __name__ == "__main__":
    main()
