# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of Sphinx for the documentation site; dev/docs.py builds it."""

from __future__ import annotations

project = "xswan.ipsec"
author = "the xswan.ipsec authors"
project_copyright = "2026 the xswan.ipsec authors"

extensions = ["myst_parser", "sphinx_antsibull_ext"]
# Headlines of a guide can be linked to, as on the pages of a forge.
myst_heading_anchors = 3
highlight_language = "text"
pygments_style = "default"

html_theme = "alabaster"
html_theme_options = {
    "description": "IPsec gateways under control",
    "fixed_sidebar": True,
    "page_width": "1120px",
    "sidebar_width": "260px",
}
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_use_index = False
