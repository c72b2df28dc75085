package capstone

import (
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/asynclab/asynclab/solutions/capstone/dashboard"
)

// Admin is the server's other listener: for those who run it.
type Admin struct {
	http     *http.Server
	listener net.Listener
	sampler  *sampler
}

// Admin opens the admin address and serves it until Close. nil if there is none.
func (s *Server) Admin() (*Admin, error) {
	if s.config.Admin == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", s.config.Admin)
	if err != nil {
		return nil, fmt.Errorf("admin: %w (set -admin to another address, or to nothing)", err)
	}
	a := &Admin{listener: l, sampler: newSampler(s)}
	a.http = &http.Server{Handler: s.adminHandler(a.sampler), ReadHeaderTimeout: 5 * time.Second}
	go a.sampler.run()
	go a.http.Serve(l)
	return a, nil
}

// Addr is where it listens.
func (a *Admin) Addr() net.Addr { return a.listener.Addr() }

// Close ends it. a may be nil.
func (a *Admin) Close() error {
	if a == nil {
		return nil
	}
	a.sampler.close()
	return a.http.Close()
}

func (s *Server) adminHandler(sm *sampler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", dashboard.Handler(sm.snapshot, sampleEvery))
	mux.Handle("GET /metrics", promhttp.HandlerFor(newRegistry(sm), promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// healthz says whether new clients are welcome: a load balancer stops sending
// them to a server that drains.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	if s.draining.Load() {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}
