// Package strictyaml decodes YAML (and so JSON) strictly and reports every
// fault at once, with file, line, column and key, never the file's text.
package strictyaml

// Bytes is a size: a number of bytes, or one with a unit as in "16MiB".
type Bytes int64
