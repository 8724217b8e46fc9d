/** What a shell runs to complete a line: it asks the program itself. Why: docs/decisions/start.md#a-shell-asks-what-comes-next */

/** Shells whose completion there is a script for. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** One of {@link SHELLS}. */
export type Shell = (typeof SHELLS)[number];

/** How a shell asks: before the words of the line. The answer is a line per candidate, its word and what it is, with a tab between. */
export const ASK_CANDIDATES = '--ask-candidates';

/** Where there is no candidate, names of files are completed. `=` ends no word here: `--set key=value` is one. */
const BASH = `# expertwire completion bash >> ~/.bashrc
_expertwire() {
  local line="\${COMP_LINE:0:COMP_POINT}" words word
  read -ra words <<< "$line"
  [[ "$line" == *[[:space:]] ]] && words+=('')
  COMPREPLY=()
  while IFS=$'\\t' read -r word _; do COMPREPLY+=("$word"); done \\
    < <("\${words[0]}" ${ASK_CANDIDATES} "\${words[@]:1}" 2> /dev/null)
  [[ "\${COMPREPLY[0]}" == *= ]] && compopt -o nospace
  word="\${words[\${#words[@]}-1]}"
  if [[ "$word" == *=* && "$COMP_WORDBREAKS" == *=* ]]; then
    COMPREPLY=("\${COMPREPLY[@]#"\${word%"\${word##*=}"}"}")
  fi
}
complete -o bashdefault -o default -F _expertwire expertwire
`;

const ZSH = `#compdef expertwire
# expertwire completion zsh >> ~/.zshrc
_expertwire() {
  local -a plain joined
  local word text
  while IFS=$'\\t' read -r word text; do
    if [[ "$word" == *= ]]; then joined+=("$word"); else plain+=("\${word//:/\\\\:}:$text"); fi
  done < <("\${words[1]}" ${ASK_CANDIDATES} "\${(@)words[2,CURRENT]}" 2> /dev/null)
  (( \${#joined} )) && compadd -S '' -a joined
  if (( \${#plain} )); then _describe 'expertwire' plain
  elif (( ! \${#joined} )); then _files
  fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
compdef _expertwire expertwire
`;

const FISH = `# expertwire completion fish > ~/.config/fish/completions/expertwire.fish
function __expertwire
  set -l words (commandline -opc)
  $words[1] ${ASK_CANDIDATES} $words[2..-1] (commandline -ct) 2> /dev/null
end
complete -c expertwire -a '(__expertwire)'
`;

/** To be read by the shell when it starts. */
export const completionScript = (shell: Shell): string => ({ bash: BASH, zsh: ZSH, fish: FISH })[shell];
