// SPDX-License-Identifier: GPL-2.0-only

// A Go program whose faults become panics that it recovers from, whose goroutines are preempted
// by signals (SIGURG), and that sleeps, ticks, and sends itself signals.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

type node struct {
	next  *node
	value int
}

func attempt(name string, body func()) {
	defer func() {
		err := recover()
		_, ours := err.(runtime.Error)
		fmt.Printf("%s: %v (runtime error: %v)\n", name, err, ours)
	}()
	body()
	fmt.Printf("%s: nothing happened\n", name)
}

var zero int
var nowhere *node

func faults() {
	attempt("nil", func() { fmt.Println(nowhere.value) })
	attempt("nil write", func() { nowhere.next = nil })
	attempt("divide", func() { fmt.Println(42 / zero) })
	attempt("index", func() { fmt.Println(os.Args[zero+77]) })
	// An address that nothing is mapped at: fatal, unless the program asks for a panic.
	debug.SetPanicOnFault(true)
	attempt("unmapped", func() {
		address := uintptr(0x10000 + zero)
		fmt.Println(*(*int)(unsafe.Pointer(address)))
	})
	attempt("in a goroutine", func() {
		done := make(chan any)
		go func() {
			defer func() { done <- recover() }()
			nowhere.value++
		}()
		panic(<-done)
	})
}

// Goroutines that never call anything: only a signal takes the processor from them.
func preemption() {
	runtime.GOMAXPROCS(2)
	var stop, rounds int64
	var all sync.WaitGroup
	for i := 0; i < 4; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			n := 0
			for atomic.LoadInt64(&stop) == 0 {
				n++
			}
			atomic.AddInt64(&rounds, 1)
		}()
	}
	time.Sleep(30 * time.Millisecond)
	runtime.GC()
	atomic.StoreInt64(&stop, 1)
	all.Wait()
	fmt.Println("preemption:", rounds)
}

func timers() {
	start := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	for i := 0; i < 3; i++ {
		<-tick.C
	}
	tick.Stop()
	select {
	case <-time.After(5 * time.Millisecond):
		fmt.Println("timers:", time.Since(start) >= 15*time.Millisecond)
	case <-make(chan int):
	}
}

func signals() {
	came := make(chan os.Signal, 1)
	signal.Notify(came, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println("signal:", <-came)
}

func memory() {
	lists := make([][]byte, 0)
	for i := 0; i < 200; i++ {
		lists = append(lists, make([]byte, 64<<10))
	}
	runtime.GC()
	total := 0
	for _, l := range lists {
		total += len(l)
	}
	pipe := [2]*os.File{}
	pipe[0], pipe[1], _ = os.Pipe()
	go func() {
		fmt.Fprint(pipe[1], "through a pipe")
		pipe[1].Close()
	}()
	buffer := make([]byte, 64)
	n, _ := pipe[0].Read(buffer)
	fmt.Println("memory:", total, string(buffer[:n]))
}

func main() {
	if len(os.Args) > 1 {
		// Nobody recovers: Go's own traceback, and exit status 2.
		fmt.Println(nowhere.value)
	}
	faults()
	preemption()
	timers()
	signals()
	memory()
}
