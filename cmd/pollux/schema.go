package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"io"

	"pollux/cmd/pollux/config"
	"pollux/cmd/pollux/console"
	"pollux/providers/format"
)

func schemaCommand(_ context.Context, t *console.Terminal, args []string) int {
	fs := t.Flags("schema", `Prints the JSON Schema (2020-12) of config.yaml, or of a provider file. Editors
complete and check with it while you type, see docs/configuration.md. What is
beyond a schema, pollux check finds.`,
		"pollux schema > config.schema.json",
		"pollux schema --provider > provider.schema.json")
	provider := fs.Bool("provider", false, "of a provider file")
	if _, code, done := t.Parse(fs, args, 0); done {
		return code
	}
	s := config.Schema()
	if *provider {
		s = format.Schema()
	}
	s.Schema = "https://json-schema.org/draft/2020-12/schema"
	if err := writeJSON(t.Stdout, s); err != nil {
		return t.Fail("schema", err)
	}
	return exitOK
}

// writeJSON writes v for people, <, > and & as they are.
func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
