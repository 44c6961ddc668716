package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// server is one of those that are compared.
type server struct {
	name  string
	start func(dir, upstream string, lifetime time.Duration) (*process, error)
	path  func(id string) string // of a task
}

func taskName(i int) string { return fmt.Sprintf("task%d", i) }

func documentPath(id string) string { return "/v1/tasks/vessl/" + id }
func nativePath(id string) string   { return "/async/" + id + "/output" }

var (
	pollux  = server{"Pollux", startPollux, documentPath}
	nginx   = server{"nginx", startNginx, nativePath}
	varnish = server{"Varnish", startVarnish, nativePath}
	// broadcast is the floor of a wake-up.
	broadcast = server{"a bare broadcast", startBroadcast, nativePath}

	reverse = server{"httputil.ReverseProxy", startReverseProxy, nativePath}
)

// bareWith is the floor of a hit, with so many documents.
func bareWith(documents int) server {
	s := server{"fasthttp, bare", nil, nativePath}
	if documents > 1 {
		s.name += " map"
	}
	s.start = func(_, _ string, _ time.Duration) (*process, error) {
		address := freeAddress()
		return start(s.name, address, self("serve-bare", address, strconv.Itoa(documents)))
	}
	return s
}

// polluxForgetful is Pollux without a store: what it costs beside that.
func polluxForgetful() server {
	s := pollux
	s.name = "Pollux without a store"
	s.start = func(dir, upstream string, lifetime time.Duration) (*process, error) {
		return startPolluxWith(dir, upstream, lifetime, "\nstore: {driver: none}")
	}
	return s
}

// polluxWithin is Pollux that knows what the vendor allows.
func polluxWithin(short bool) server {
	rate := "{requests: 100, per: 1m, burst: 16}"
	if short {
		rate = "{requests: 600, per: 1m, burst: 100}"
	}
	s := pollux
	s.start = func(dir, upstream string, lifetime time.Duration) (*process, error) {
		return startPolluxWith(dir, upstream, lifetime, "\n    rate: "+rate)
	}
	return s
}

// self runs this very program as one of the servers.
func self(args ...string) *exec.Cmd {
	path, err := os.Executable()
	if err != nil {
		panic("this program has no path: " + err.Error())
	}
	return exec.Command(path, args...)
}

func startReverseProxy(_, upstream string, _ time.Duration) (*process, error) {
	address := freeAddress()
	return start("httputil.ReverseProxy", address, self("serve-reverse-proxy", address, "http://"+upstream))
}

func startBroadcast(_, upstream string, _ time.Duration) (*process, error) {
	address := freeAddress()
	return start("a bare broadcast", address, self("serve-broadcast", address, "http://"+upstream))
}

// polluxBinary is the command under test, built by main.
var polluxBinary string

func startPollux(dir, upstream string, lifetime time.Duration) (*process, error) {
	return startPolluxWith(dir, upstream, lifetime, "")
}

func startPolluxWith(dir, upstream string, lifetime time.Duration, more string) (*process, error) {
	address := freeAddress()
	config, err := write(dir, "config.yaml", fmt.Sprintf(`listen: %s
upstreams:
  vessl:
    provider: vessl
    base_url: http://%s
    freshness: {queued: %[3]v, in_progress: %[3]v}
    max_in_flight: 1024%[4]s
limits: {connections: 40000, connections_per_ip: 40000, streams_per_partition: 20000, waits_per_partition: 20000, misses_per_partition: {per_second: 1000000, burst: 1000000}}
`, address, upstream, lifetime, more))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(polluxBinary, "serve", "--config", config)
	cmd.Dir = dir
	return start("Pollux", address, cmd)
}

// startNginx caches for each credential apart, and sends one request for all who
// ask at once; waiting clients look again every half second, which is nginx's.
func startNginx(dir, upstream string, lifetime time.Duration) (*process, error) {
	address := freeAddress()
	config, err := write(dir, "nginx.conf", fmt.Sprintf(`daemon off;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log error;
worker_processes auto;
worker_rlimit_nofile 65536;
events { worker_connections 32768; }
http {
	access_log off;
	client_body_temp_path %[1]s/body; fastcgi_temp_path %[1]s/fcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
	proxy_temp_path %[1]s/temp;
	proxy_cache_path %[1]s/cache levels=1:2 keys_zone=polls:64m max_size=1g inactive=1d use_temp_path=off;
	keepalive_requests 1000000;
	upstream vendor { server %[2]s; keepalive 64; keepalive_requests 1000000; }
	server {
		listen %[3]s backlog=8192 reuseport;
		location / {
			proxy_pass http://vendor;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_cache polls;
			proxy_cache_key $http_authorization$request_uri;
			proxy_cache_lock on;
			proxy_cache_lock_timeout 60s;
			proxy_cache_valid 200 %[4]ds;
		}
	}
}
`, dir, upstream, address, int(lifetime.Seconds())))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("nginx", "-p", dir, "-c", config)
	cmd.Env = append(os.Environ(), "PATH=/usr/sbin:"+os.Getenv("PATH"))
	if path, err := exec.LookPath("/usr/sbin/nginx"); err == nil {
		cmd.Path = path
	}
	return start("nginx", address, cmd)
}

// startVarnish does the same; Varnish merges without a word of configuration.
func startVarnish(dir, upstream string, lifetime time.Duration) (*process, error) {
	address := freeAddress()
	host, port := split(upstream)
	vcl, err := write(dir, "polls.vcl", fmt.Sprintf(`vcl 4.1;
backend vendor { .host = "%s"; .port = "%s"; .max_connections = 1024; .first_byte_timeout = 60s; }
sub vcl_recv { return (hash); }
sub vcl_hash { hash_data(req.url); hash_data(req.http.Authorization); return (lookup); }
sub vcl_backend_response { set beresp.ttl = %ds; set beresp.grace = 0s; set beresp.uncacheable = false; return (deliver); }
`, host, port, int(lifetime.Seconds())))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/usr/sbin/varnishd", "-F", "-f", vcl, "-a", address, "-n", filepath.Join(dir, "varnish"), "-s", "malloc,1g",
		"-p", "thread_pool_min=100", "-p", "thread_pool_max=5000", "-j", "none")
	return start("Varnish", address, cmd)
}
