package sandbox

import (
	"testing"

	"go.uber.org/goleak"
)

// The sandbox starts no goroutine, and leaves none of a connection that it cut.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
