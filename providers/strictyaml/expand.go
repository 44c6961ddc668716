package strictyaml

import (
	"regexp"
	"strings"
)

// In a flow mapping, as in {value: ${KEY}}, YAML takes the braces of ${KEY} for
// its own. So before parsing they become two characters that mean nothing to
// YAML and are as wide, and that no file may hold otherwise.
const (
	nameStart = '\uE000'
	nameEnd   = '\uE001'
)

var nameInBraces = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

func guardNames(text string) string {
	return nameInBraces.ReplaceAllString(text, "$$"+string(nameStart)+"${1}"+string(nameEnd))
}

var nameGuards = strings.NewReplacer(string(nameStart), "{", string(nameEnd), "}")

func unguardNames(text string) string { return nameGuards.Replace(text) }

// expansion is a scalar after ${NAME} was replaced.
type expansion struct {
	text     string
	expanded bool
	faults   []string
}

// expand replaces each ${NAME} in text by what env says of it.
func expand(text string, env func(string) (string, bool)) expansion {
	text = unguardNames(text)
	var e expansion
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "${")
		if !found {
			b.WriteString(text)
			e.text = b.String()
			return e
		}
		if escaped, ok := strings.CutSuffix(before, "$"); ok {
			b.WriteString(escaped)
			b.WriteString("${")
			text = after
			continue
		}
		b.WriteString(before)
		text = after
		name := nameInBraces.FindStringSubmatch("${" + after)
		if name == nil || !strings.HasPrefix(after, name[1]+"}") {
			e.faults = append(e.faults, "want ${NAME}, or $${ for a literal ${")
			continue
		}
		text = after[len(name[1])+1:]
		value, set := env(name[1])
		if !set {
			e.faults = append(e.faults, "environment variable "+name[1]+" is not set")
			continue
		}
		e.expanded = true
		b.WriteString(value)
	}
}
