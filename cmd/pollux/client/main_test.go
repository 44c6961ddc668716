package client

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"pollux/cmd/pollux/console"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// result is how a command ended.
type result struct {
	code           int
	stdout, stderr string
}

// runWith executes one command line.
func runWith(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(stdin), &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return console.Run(ctx, &console.Terminal{Stdin: stdin, Stdout: stdout, Stderr: stderr, Env: os.LookupEnv, Commands: Commands()}, args)
}

// failingWriter takes nothing.
type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
