package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
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
	for _, pid := range family(p.cmd.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = p.cmd.Wait()
}

// cpu is the time that the server and its children have spent on processors so
// far, in the kernel included.
func (p *process) cpu() time.Duration {
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux
	var sum time.Duration
	for _, pid := range family(p.cmd.Process.Pid) {
		if fields, err := stat(pid); err == nil {
			user, _ := strconv.ParseInt(fields[11], 10, 64) // utime, the 14th; see proc(5)
			system, _ := strconv.ParseInt(fields[12], 10, 64)
			sum += time.Duration(user+system) * tick
		}
	}
	return sum
}

// resident is the memory that the server and its children have in use and share
// with nobody, in bytes.
func (p *process) resident() int64 {
	var sum int64
	for _, pid := range family(p.cmd.Process.Pid) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "Private_Clean:") || strings.HasPrefix(line, "Private_Dirty:") {
				n, _ := strconv.ParseInt(strings.Fields(line)[1], 10, 64)
				sum += n << 10
			}
		}
	}
	return sum
}

// family is a process with all its descendants.
func family(root int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return []int{root}
	}
	children := map[int][]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if fields, err := stat(pid); err == nil {
			parent, _ := strconv.Atoi(fields[1])
			children[parent] = append(children[parent], pid)
		}
	}
	all := []int{root}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// stat returns what follows the name of a process in /proc/PID/stat: its state,
// its parent, and so on. The name may hold anything.
func stat(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	_, rest, ok := strings.Cut(string(text[bytes.LastIndexByte(text, ')')+1:]), " ")
	if fields := strings.Fields(rest); ok && len(fields) > 20 {
		return fields, nil
	}
	return nil, errors.New("no line of /proc/PID/stat")
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
