package strictyaml

import (
	"fmt"
	"log/slog"
)

// Secret is a text that nobody may see, such as a key or a password. Printed, logged
// or marshalled it only says "[redacted]". In a struct that another one points to it
// needs that struct's help, and in an unexported field none helps.
type Secret string

const redacted = "[redacted]"

func (Secret) Format(s fmt.State, _ rune)   { s.Write([]byte(redacted)) }
func (Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
