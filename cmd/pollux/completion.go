package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"

	"pollux/cmd/pollux/console"
)

func completionCommand(ctx context.Context, t *console.Terminal, args []string) int {
	fs := t.Flags("completion", "Prints a script that teaches a shell to complete pollux commands and flags.",
		"source <(pollux completion bash)  # in ~/.bashrc",
		"source <(pollux completion zsh)   # in ~/.zshrc, after compinit",
		"pollux completion fish | source   # in ~/.config/fish/config.fish")
	rest, code, done := t.Parse(fs, args, 1)
	if done {
		return code
	}
	scripts := map[string]func(io.Writer, []completion) error{"bash": writeBash, "zsh": writeZsh, "fish": writeFish}
	write, known := scripts[rest[0]]
	if !known {
		return t.Misused(fs, "wants bash, zsh or fish, not `%s`", console.CleanLine(rest[0]))
	}
	if err := write(t.Stdout, completions(ctx)); err != nil {
		return t.Fail("completion", err)
	}
	return exitOK
}

// completion is what may follow one command.
type completion struct {
	console.Command
	flags []string // with their dashes
}

var flagLine = regexp.MustCompile(`(?m)^  (--?[a-z-]+)`)

// completions asks every command for its help, which knows its flags.
func completions(ctx context.Context) []completion {
	var all []completion
	for _, c := range commands() {
		var help bytes.Buffer
		c.Run(ctx, &console.Terminal{Stdin: strings.NewReader(""), Stdout: &help, Stderr: io.Discard, Env: noEnvironment, Commands: commands()}, []string{"--help"})
		one := completion{Command: c}
		for _, match := range flagLine.FindAllStringSubmatch(help.String(), -1) {
			one.flags = append(one.flags, match[1])
		}
		all = append(all, one)
	}
	return all
}

func names(all []completion) string {
	var names []string
	for _, c := range all {
		names = append(names, c.Name)
	}
	return strings.Join(append(names, "help"), " ")
}

func writeBash(w io.Writer, all []completion) error {
	var b strings.Builder
	fmt.Fprintf(&b, `_pollux() {
	local word=${COMP_WORDS[COMP_CWORD]} flags= words=
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		COMPREPLY=($(compgen -W %q -- "$word"))
		return
	fi
	case ${COMP_WORDS[1]} in
`, names(all))
	for _, c := range all {
		fmt.Fprintf(&b, "	%s) flags=%q words=%q ;;\n", c.Name, strings.Join(c.flags, " "), strings.Join(c.Words, " "))
	}
	b.WriteString(`	esac
	if [[ $word == -* ]]; then
		COMPREPLY=($(compgen -W "$flags" -- "$word"))
	elif [[ -n $words ]]; then
		COMPREPLY=($(compgen -W "$words" -- "$word"))
	fi
}
complete -o default -F _pollux pollux
`)
	_, err := io.WriteString(w, b.String())
	return err
}

func writeZsh(w io.Writer, all []completion) error {
	var b strings.Builder
	b.WriteString("#compdef pollux\n_pollux() {\n	local -a commands\n	commands=(\n")
	for _, c := range all {
		fmt.Fprintf(&b, "		%s\n", quoted(c.Name+":"+c.Summary))
	}
	b.WriteString("	)\n	if ((CURRENT == 2)); then\n		_describe command commands\n		return\n	fi\n	case ${words[2]} in\n")
	for _, c := range all {
		fmt.Fprintf(&b, "	%s)\n", c.Name)
		fmt.Fprintf(&b, "		if [[ ${words[CURRENT]} == -* ]]; then compadd -- %s\n", strings.Join(c.flags, " "))
		if len(c.Words) > 0 {
			fmt.Fprintf(&b, "		else compadd -- %s\n", strings.Join(c.Words, " "))
		} else {
			b.WriteString("		else _files\n")
		}
		b.WriteString("		fi ;;\n")
	}
	b.WriteString("	esac\n}\ncompdef _pollux pollux\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func writeFish(w io.Writer, all []completion) error {
	var b strings.Builder
	for _, c := range all {
		fmt.Fprintf(&b, "complete -c pollux -n __fish_use_subcommand -f -a %s -d %s\n", c.Name, quoted(c.Summary))
		for _, flag := range c.flags {
			fmt.Fprintf(&b, "complete -c pollux -n '__fish_seen_subcommand_from %s' %s\n", c.Name, fishFlag(flag))
		}
		if len(c.Words) > 0 {
			fmt.Fprintf(&b, "complete -c pollux -n '__fish_seen_subcommand_from %s' -f -a '%s'\n", c.Name, strings.Join(c.Words, " "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// fishFlag is a flag as fish wants it told: -l long or -s s.
func fishFlag(flag string) string {
	if long, ok := strings.CutPrefix(flag, "--"); ok {
		return "-l " + long
	}
	return "-s " + flag[1:]
}

// quoted is s for a shell, which expands nothing in it.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "’") + "'" }
