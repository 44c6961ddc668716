package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// process is a server that is measured, with the processes that it started.
type process struct {
	name    string
	address string
	cmd     *exec.Cmd
	output  bytes.Buffer
}

// start runs a server in a directory of its own, and waits until its address
// takes connections. The command must stay in the foreground.
func start(name, address string, cmd *exec.Cmd) (*process, error) {
	p := &process{name: name, address: address, cmd: cmd}
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
			return p, nil
		}
	}
	p.stop()
	return nil, fmt.Errorf("%s takes no connections:\n%s", name, p.output.String())
}

// stop ends the server and what it started.
func (p *process) stop() {
	for _, one := range p.family() {
		_ = syscall.Kill(one.PID, syscall.SIGKILL)
	}
	_ = p.cmd.Wait()
}

// cpu is the time that the server and its children have spent on processors so
// far, in the kernel included.
func (p *process) cpu() time.Duration {
	var sum float64
	for _, one := range p.family() {
		if s, err := one.Stat(); err == nil {
			sum += s.CPUTime()
		}
	}
	return time.Duration(sum * float64(time.Second))
}

// resident is the memory that the server and its children have in use and share
// with nobody, in bytes.
func (p *process) resident() int64 {
	var sum uint64
	for _, one := range p.family() {
		if m, err := one.ProcSMapsRollup(); err == nil {
			sum += m.PrivateClean + m.PrivateDirty
		}
	}
	return int64(sum)
}

// family is the server with all its descendants.
func (p *process) family() procfs.Procs {
	root, err := procfs.NewProc(p.cmd.Process.Pid)
	if err != nil {
		return nil
	}
	children := map[int]procfs.Procs{}
	running, _ := procfs.AllProcs()
	for _, one := range running {
		if s, err := one.Stat(); err == nil {
			children[s.PPID] = append(children[s.PPID], one)
		}
	}
	all := procfs.Procs{root}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i].PID]...)
	}
	return all
}

// freeAddress is an address of loopback that nobody listens on.
func freeAddress() string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic("loopback has no port left: " + err.Error())
	}
	defer ln.Close()
	return ln.Addr().String()
}

// write puts a file into dir, readable by servers that give up root.
func write(dir, name, text string) (path string, err error) {
	path = filepath.Join(dir, name)
	return path, os.WriteFile(path, []byte(text), 0o644)
}
