package sqlite

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"pollux/cache"
	"pollux/cache/internal/storetest"
)

// childPath names the environment variable that makes the test binary a writer
// to be killed.
const childPath = "POLLUX_TEST_STORE"

// writeUntilKilled writes frozen entries from several goroutines and prints the
// number of each once it is acknowledged.
func writeUntilKilled(path string) int {
	secret, err := cache.NewSecret([]byte("a secret of enough bytes"))
	if err != nil {
		return 1
	}
	s, err := Open(context.Background(), Config{Path: path}, secret, slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	acknowledged := make(chan int)
	first := os.Getpid() * 1_000_000
	for w := range 8 {
		go func() {
			for n := first + w; ; n += 8 {
				if _, err := s.Put(context.Background(), storetest.Frozen(n, 1)); err == nil {
					acknowledged <- n
				}
			}
		}()
	}
	for n := range acknowledged {
		fmt.Println(n)
	}
	return 0
}

// TestKill kills writers at different moments: what was acknowledged is there.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pollux.db")
	var all []int
	for round := range 5 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childPath+"="+path)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for want := 20 + 61*round; lines.Scan(); {
			var n int
			if _, err := fmt.Sscan(lines.Text(), &n); err == nil {
				all = append(all, n)
			}
			if want--; want == 0 {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		child.Wait() // "signal: killed"

		started := time.Now()
		s, log := open(t, path)
		if took := time.Since(started); took > 2*time.Second && !raceEnabled {
			t.Errorf("opening after a kill took %v", took)
		}
		for _, n := range all {
			if e, err := s.Get(context.Background(), storetest.Key(n)); err != nil || !e.Frozen {
				t.Fatalf("round %d: acknowledged entry %d is lost: %v, %v", round, n, e, err)
			}
		}
		if log.String() != "" {
			t.Errorf("round %d: %s", round, log)
		}
		mustClose(t, s)
	}
	if len(all) < 5*20 {
		t.Errorf("only %d writes were acknowledged", len(all))
	}
}
