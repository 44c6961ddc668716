// Package strictyaml decodes YAML (and so JSON) strictly and reports every
// fault at once, with file, line, column and key, never the file's text.
//
// It reads a subset of YAML 1.2: one document, no anchors, aliases, merge keys
// and tags, every key once, booleans only as true and false. What is left is
// what a person writes into a config file, and nothing in it can grow, repeat
// or change its type behind the reader's back.
package strictyaml

// MaxSize is how many bytes a file may have.
const MaxSize = 1 << 20

// maxDepth bounds nesting. The parser below us is recursive, and a stack
// overflow cannot be recovered; our own files nest eight deep.
const maxDepth = 64
