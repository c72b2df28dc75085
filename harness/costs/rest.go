package costs

import (
	"os"
	"time"
)

var ofTheRest = []Cost{
	{Group: "elapsed", Name: "wake a goroutine by a timer of 1 ms", Unit: Elapsed, Note: "how long it really takes", run: timer},
	{Group: "elapsed", Name: "write 4 KiB and fsync", Unit: Elapsed, Note: "a file in the temporary directory: what a promise to keep something costs", run: fsync},
}

func timer(n int) (float64, error) {
	began := time.Now()
	for range n {
		time.Sleep(time.Millisecond)
	}
	return float64(time.Since(began).Microseconds()), nil
}

func fsync(n int) (float64, error) {
	f, err := os.CreateTemp("", "costs")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	began := time.Now()
	for range n {
		if _, err := f.WriteAt(page, 0); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
	}
	return float64(time.Since(began).Microseconds()), nil
}
