# SPDX-License-Identifier: MIT
if TOOLS
bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = completions/weir

zshcompletiondir = $(datadir)/zsh/site-functions
dist_zshcompletion_DATA = completions/_weir
endif
