package console

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/term"
)

// maxRead is as much as an upstream may answer by default.
const maxRead = 16 << 20

// Terminal is where a command reads and writes, its environment, and the
// commands beside it.
type Terminal struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Env            func(name string) (string, bool)
	Commands       []Command // in the order in which they are shown

	color string // what --color says; "" is auto
}

// Fail prints err, one line per fault, and returns the code for it.
func (t *Terminal) Fail(name string, err error) int {
	fmt.Fprintf(t.Stderr, "pollux %s: %v\n", name, err)
	return ExitFailure
}

// Read is the content of the file at path, or of the standard input for "-".
func (t *Terminal) Read(path string) ([]byte, error) {
	in := t.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	body, err := io.ReadAll(io.LimitReader(in, maxRead+1))
	if err == nil && len(body) > maxRead {
		err = fmt.Errorf("it is larger than %d MiB", maxRead>>20)
	}
	return body, err
}

// PlainCause is the reason in err without the path that it repeats.
func PlainCause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// Shared reports whether others than its owner may read or change a file, and its
// mode. On Windows modes say nothing.
func Shared(path string) (mode fs.FileMode, shared bool) {
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS == "windows" {
		return 0, false
	}
	mode = info.Mode().Perm()
	return mode, mode&0o077 != 0
}

// IsTerminal reports whether a person looks at w.
func IsTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// Width is how many columns a line of the standard output may have: what the
// terminal has, elsewhere what $COLUMNS says, else 0 for as many as it needs.
func (t *Terminal) Width() int {
	if IsTerminal(t.Stdout) {
		width, _ := Size(t.Stdout)
		return width
	}
	columns, _ := t.Env("COLUMNS")
	width, err := strconv.Atoi(columns)
	if err != nil || width < 0 {
		return 0
	}
	return width
}

// Size is the size of what w shows on, or of an old terminal.
func Size(w io.Writer) (width, height int) {
	if file, ok := w.(*os.File); ok {
		if width, height, err := term.GetSize(int(file.Fd())); err == nil && width > 0 && height > 0 {
			return width, height
		}
	}
	return 80, 24
}
