// Package pgtest starts real PostgreSQL servers, and pgbouncers before them, for
// tests. They listen on loopback only and run as an ordinary user.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a running PostgreSQL. Close ends it.
type Server struct {
	Port    int
	dir     string
	small   bool // its disk is one of memory, see StartSmall
	process *exec.Cmd
	options []string
	created atomic.Int64
}

// Start makes an empty cluster of databases and starts it with options, as in
// "fsync=off".
func Start(options ...string) (*Server, error) { return start(0, options) }

// StartSmall is Start on a disk of its own of so many MiB, which Fill fills. It
// needs root.
func StartSmall(mebibytes int, options ...string) (*Server, error) {
	return start(mebibytes, options)
}

func start(mebibytes int, options []string) (s *Server, err error) {
	s = &Server{options: options}
	if s.dir, err = os.MkdirTemp("", "pollux-postgres"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if mebibytes > 0 {
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", mebibytes), "tmpfs", s.dir).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("mount a small disk: %w\n%s", err, out)
		}
		s.small = true
	}
	if err := give(s.dir); err != nil {
		return nil, err
	}
	empty, err := initialized()
	if err != nil {
		return nil, err
	}
	if out, err := command("cp", "-R", "-p", filepath.Join(empty, "data"), s.dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("copy an empty cluster: %w\n%s", err, out)
	}
	if s.Port, err = freePort(); err != nil {
		return nil, err
	}
	return s, s.Restart()
}

// initialized is where an empty cluster is of which each server gets a copy: to
// make one takes seconds. Cleanup removes it.
var initialized = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "pollux-postgres-empty"); err != nil {
		return "", err
	}
	made.Store(&dir)
	if err := give(dir); err != nil {
		return "", err
	}
	initdb := command(program("initdb"), "-D", filepath.Join(dir, "data"), "-U", "pollux", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return "", fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return dir, nil
})

var made atomic.Pointer[string] // the folder of initialized, nil before

// Cleanup removes what servers were copied from. A package whose tests Start
// servers calls it after the last.
func Cleanup() {
	if dir := made.Load(); dir != nil {
		os.RemoveAll(*dir)
	}
}

// Restart starts the server, after it was stopped or killed.
func (s *Server) Restart() error {
	args := []string{"-D", filepath.Join(s.dir, "data"), "-p", strconv.Itoa(s.Port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=" + s.dir}
	for _, o := range s.options {
		args = append(args, "-c", o)
	}
	s.process = command(program("postgres"), args...)
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.process.Stdout, s.process.Stderr = log, log
	if err := s.process.Start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		conn, err := pgx.Connect(ctx, s.Address("postgres"))
		cancel()
		if err == nil {
			return conn.Close(context.Background())
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("PostgreSQL does not come up: %w\n%s", err, text)
		}
	}
}

// Address is where a database of the server is.
func (s *Server) Address(database string) string {
	return fmt.Sprintf("postgres://pollux@127.0.0.1:%d/%s?sslmode=disable", s.Port, database)
}

// Signal sends all processes of the server a signal.
func (s *Server) Signal(sig syscall.Signal) error {
	pids, err := s.processes()
	if err != nil {
		return err
	}
	if err := syscall.Kill(pids[0], sig); err != nil {
		return err
	}
	for _, pid := range pids[1:] {
		_ = syscall.Kill(pid, sig) // it may have ended
	}
	return nil
}

// Processes are those of the server, the first of which started the others.
func (s *Server) Processes(t testing.TB) []int {
	t.Helper()
	pids, err := s.processes()
	if err != nil {
		t.Fatal(err)
	}
	return pids
}

// processes finds the server's by their parent: each has a session of its own.
func (s *Server) processes() ([]int, error) {
	pids := []int{s.process.Process.Pid}
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	for _, path := range all {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		var child, parent int
		if _, rest, ok := strings.Cut(string(stat), ") "); ok {
			fmt.Sscanf(rest, "%s %d", new(string), &parent)
			fmt.Sscan(string(stat), &child)
		}
		if parent == pids[0] {
			pids = append(pids, child)
		}
	}
	return pids, nil
}

// Stop ends the server at once, as a crash would, and waits.
func (s *Server) Stop() {
	if s.process != nil && s.process.Process != nil {
		_ = s.Signal(syscall.SIGCONT)
		_ = s.process.Process.Signal(syscall.SIGQUIT)
		_ = s.process.Wait()
	}
}

// Close ends the server and removes what it had.
func (s *Server) Close() {
	s.Stop()
	if s.small {
		_ = exec.Command("umount", s.dir).Run() // else it is emptied
	}
	os.RemoveAll(s.dir)
}

// Fill takes all that is free of the disk of StartSmall.
func (s *Server) Fill() error {
	f, err := os.Create(filepath.Join(s.dir, "ballast"))
	if err != nil {
		return err
	}
	defer f.Close()
	for size := 1 << 20; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return err
		}
	}
	return nil
}

// Free gives back what Fill took, and starts the server again if that ended for
// want of it.
func (s *Server) Free() error {
	if err := os.Remove(filepath.Join(s.dir, "ballast")); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.Address("postgres"))
	if err == nil {
		return conn.Close(ctx)
	}
	s.Stop()
	return s.Restart()
}

// Database makes an empty database for a test and returns its name.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", s.created.Add(1))
	s.Exec(t, "postgres", "CREATE DATABASE "+name+" STRATEGY file_copy") // without the log: half the work
	return name
}

// Exec runs statements in a database.
func (s *Server) Exec(t testing.TB, database, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.Address(database))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.PgConn().Exec(ctx, text).ReadAll(); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// Bouncer starts a pgbouncer in transaction mode before the server, until the
// test ends, and returns the address of a database behind it.
func (s *Server) Bouncer(t testing.TB, database string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pollux-pgbouncer")
	if err != nil {
		t.Fatal(err)
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`[databases]
* = host=127.0.0.1 port=%d user=pollux
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
auth_type = any
pool_mode = transaction
default_pool_size = 4
max_client_conn = 200
unix_socket_dir =
`, s.Port, port)
	if err := os.WriteFile(filepath.Join(dir, "pgbouncer.ini"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := give(dir); err != nil {
		t.Fatal(err)
	}
	p := command(program("pgbouncer"), filepath.Join(dir, "pgbouncer.ini"))
	out, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	p.Stdout, p.Stderr = out, out
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Process.Kill()
		_ = p.Wait()
		out.Close()
		os.RemoveAll(dir)
	})
	address := fmt.Sprintf("postgres://pollux@127.0.0.1:%d/%s?sslmode=disable", port, database)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		conn, err := pgx.Connect(context.Background(), address)
		if err == nil {
			conn.Close(context.Background())
			return address
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(out.Name())
			t.Fatalf("pgbouncer does not come up: %v\n%s", err, text)
		}
	}
}

// program is where Debian puts the programs of PostgreSQL, or what PATH has.
func program(name string) string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) > 0 {
		return slices.Max(found)
	}
	for _, dir := range []string{"/usr/sbin/", "/usr/local/sbin/"} {
		if _, err := os.Stat(dir + name); err == nil {
			return dir + name
		}
	}
	return name
}

// command runs in a process group of its own, and never as root, which
// PostgreSQL refuses.
func command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Dir = os.TempDir()
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if uid, gid, root := ordinary(); root {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
	}
	return c
}

// ordinary is the user as whom servers run where the tests run as root.
func ordinary() (uid, gid uint32, root bool) {
	if os.Getuid() != 0 {
		return 0, 0, false
	}
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			uid, _ := strconv.Atoi(u.Uid)
			gid, _ := strconv.Atoi(u.Gid)
			return uint32(uid), uint32(gid), true
		}
	}
	return 65534, 65534, true
}

// give makes a directory and what is in it the ordinary user's.
func give(dir string) error {
	uid, gid, root := ordinary()
	if !root {
		return nil
	}
	return filepath.Walk(dir, func(path string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, int(uid), int(gid))
	})
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
