package costs

import (
	"runtime"
	"sync"
)

var ofGoroutines = []Cost{
	loop("goroutines", "start a goroutine that ends", "", func() {
		done.Add(1)
		go done.Done()
		done.Wait()
	}),
	{Group: "goroutines", Name: "send and receive, buffered", Unit: CPU, Note: "by one goroutine: what a channel costs without anybody waiting", run: buffered},
	{Group: "goroutines", Name: "switch to another goroutine", Unit: CPU, Note: "and back is two: an unbuffered channel between two", run: handOver},
	{Group: "goroutines", Name: "a goroutine that waits", Unit: Memory, Note: "its stack and its g, before it has called anything", run: waiting},
}

var done sync.WaitGroup

func buffered(n int) (float64, error) {
	ch := make(chan int, 64)
	for i := range n {
		ch <- i
		<-ch
	}
	return 0, nil
}

// handOver switches n times: each message goes over and comes back.
func handOver(n int) (float64, error) {
	there, back := make(chan int), make(chan int)
	go func() {
		defer close(back)
		for v := range there {
			back <- v
		}
	}()
	for i := range (n + 1) / 2 {
		there <- i
		<-back
	}
	close(there)
	<-back
	return 0, nil
}

// waiting is what goroutines add to the memory in use.
func waiting(n int) (float64, error) {
	const many = 10_000
	before := inUse()
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range many {
		all.Add(1)
		go func() {
			defer all.Done()
			<-stop
		}()
	}
	runtime.Gosched()
	each := float64(inUse()-before) / many
	close(stop)
	all.Wait()
	return each * float64(n), nil
}

func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.StackInuse + m.HeapInuse)
}
