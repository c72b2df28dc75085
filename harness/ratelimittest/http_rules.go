package ratelimittest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

const step9 = "Step 9: 429"

var httpRules = []spec.Rule[lab]{
	{
		Name: "RefusesWith429", Group: "http", Points: 4, Section: step9,
		Why: "A refusal that says when to come back turns a crowd into a queue. Rounded down it is a lie: who believes it is refused again.",
		Hints: [3]string{
			"Which status, which header, which unit?",
			"429 and Retry-After, in whole seconds; 1.2 s is 2, and 0 is 1. Headers are set before WriteHeader.",
			"w.Header().Set(\"Retry-After\", strconv.FormatInt(max(1, int64((d+time.Second-1)/time.Second)), 10)); http.Error(w, ..., http.StatusTooManyRequests)",
		},
		Check: refuses,
	},
}

func refuses(r *spec.Run, l lab) error {
	var allowed bool
	var retry time.Duration
	asked, served := 0, 0
	handler := l.Middleware(
		func(*http.Request) (bool, time.Duration) { asked++; return allowed, retry },
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { served++; w.WriteHeader(http.StatusTeapot) }))
	do := func() *http.Response {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		return w.Result()
	}
	r.Step("a request that is allowed")
	allowed = true
	if got := do(); got.StatusCode != http.StatusTeapot || got.Header.Get("Retry-After") != "" || served != 1 {
		return spec.Fail("the handler's own answer, 418, without Retry-After", "it was %d, Retry-After %q", got.StatusCode, got.Header.Get("Retry-After"))
	}
	allowed = false
	for _, k := range []struct {
		retry time.Duration
		says  string
	}{{0, "1"}, {1, "1"}, {sec, "1"}, {sec + 1, "2"}, {90 * sec, "90"}, {2*time.Hour + 300*ms, "7201"}, {-sec, "1"}} {
		retry = k.retry
		r.Step("a request that is refused, with a token in %v", retry)
		got := do()
		if got.StatusCode != http.StatusTooManyRequests {
			return spec.Fail("429", "the status is %d", got.StatusCode)
		}
		if says := got.Header.Get("Retry-After"); says != k.says {
			return spec.Fail(fmt.Sprintf("Retry-After: %s with a token in %v", k.says, retry), "it is %q", says)
		}
	}
	return first(want("requests that reached the handler", 1, served), want("questions asked for 8 requests", 8, asked))
}
