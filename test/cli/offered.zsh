# Says what zsh offers for a line: zsh -f offered.zsh FOLDER LINE, where FOLDER has the completion `_regears`.
# The completion needs a line editor, and that needs a terminal, which `zpty` gives; what is offered is seen at `compadd`.
zmodload zsh/zpty
setup=$(mktemp)
cat > $setup <<'SETUP'
PROMPT=
fpath=($FOLDER $fpath)
autoload -Uz compinit && compinit -u -D
bindkey '^M' undefined
bindkey '^J' undefined
bindkey '^I' complete-word
mark() { print -r -- '<mark>' }
compprefuncs=(mark)
comppostfuncs=(mark exit)
compadd() {
  # calls that only ask which words fit
  if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return; fi
  local -a hits
  builtin compadd -A hits "$@"
  local hit
  for hit in $hits; do print -r -- "offered:$hit"; done
}
mark
SETUP
export FOLDER=$1
zpty shell "TERM=dumb zsh -f -i"
zpty -w shell "source $setup"
zpty -m -r shell before '*<mark>*' > /dev/null
zpty -n -w shell "$2"$'\t'
while zpty -r shell text; do all+=$text; done
rm -f $setup
print -r -- ${all//$'\r'} | sed -n 's/^.*offered://p'
