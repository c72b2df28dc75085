package workerpooltest

import (
	"flag"
	"os"
	"testing"

	"github.com/asynclab/asynclab/harness/spec"
)

func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "8") // most mutants wait in vain for something
	os.Exit(m.Run())
}

func TestSuiteIsComplete(t *testing.T) { suite.Complete(t) }

func TestAcceptsAnotherStyle(t *testing.T) { suite.Accepts(t, variantLab("")) }

func TestMutants(t *testing.T) {
	var all []spec.Mutant[lab]
	for _, m := range mutants {
		if m.New.New == nil {
			m.New = variantLab(fault(m.Name))
		}
		all = append(all, m)
	}
	suite.Refuses(t, all)
}

// mutants are variants with the fault that is their name, but for the article's
// design, which has its own code.
var mutants = []spec.Mutant[lab]{
	{Name: "runs it twice", Rule: "EachTaskRunsOnce", Says: `each task to run once`},
	{Name: "loses one in a hundred", Rule: "EachTaskRunsOnce", Says: `all tasks to be done|the check to end within`},
	{Name: "one worker", Rule: "WorkersAreFew", Says: `\d+ tasks to run at the same time`},
	{Name: "a goroutine for each task", Rule: "WorkersAreFew", Says: `\d+ tasks to run at the same time`},
	{Name: "the task's error is lost", Rule: "FuturesTellTheResult", Says: `Wait to return the task's own error`},
	{Name: "Wait has no context", Rule: "FuturesTellTheResult", Says: `progress`},
	{Name: "Submit's context is the task's", Rule: "FuturesTellTheResult", Says: `Wait to return its context's error`},
	{Name: "Wait takes what comes", Rule: "FuturesTellTheResult", Says: `a result that is there to be returned`},
	{Name: "callbacks run on the worker", Rule: "CallbacksComeHome", Says: `no callback but where post runs it`},
	{Name: "a late callback runs here", Rule: "CallbacksComeHome", Says: `no callback but where post runs it`},
	{Name: "a late callback is forgotten", Rule: "CallbacksComeHome", Says: `the callbacks \[first the task's own error second the task's `},
	{Name: "a callback runs somewhere", Rule: "CallbacksComeHome", Says: `no callback where post has returned an error`},
	{Name: "one callback only", Rule: "CallbacksComeHome", Says: `the callbacks \[first the task's own error second the task's `},
	{Name: "the last callback first", Rule: "CallbacksComeHome", Says: `the callbacks \[first the task's own error second the task's `},
	{Name: "without a post a goroutine calls", Rule: "CallbacksComeHome", Says: `on its caller's goroutine`},
	{Name: "a Then passes those before it", Rule: "CallbacksMayCallBack", Says: `callbacks in the order of Then`},
	{Name: "who waits is told last", Rule: "CallbacksMayCallBack", Says: `Wait in a callback to return the result|progress`},
	{Name: "callbacks under the future's lock", Rule: "CallbacksMayCallBack", Says: `the check to end within`},
	{Name: "told before it is counted", Rule: "CallbacksMayCallBack", Says: `a task to be counted as done before its callbacks`},
	{Name: "the next task waits behind a callback", Rule: "CallbacksMayCallBack", Says: `the task that waits to run on the free worker`},
	{Name: "a panic ends the process", Rule: "PanicIsAnError", Says: `the process ended`},
	{Name: "a panic has no stack", Rule: "PanicIsAnError", Says: `a PanicError with the value "boom" and the stack of the task`},
	{Name: "a panic is no error", Rule: "PanicIsAnError", Says: `a PanicError with the value "boom" and the stack of the task`},
	{Name: "panics are not counted", Rule: "PanicIsAnError", Says: `Stats at the end to be \{Submitted:\d+ Done:\d+ Panics:\d+ Discarde`},
	{Name: "Goexit costs a worker", Rule: "GoexitCostsNoWorker", Says: `the check to end within|2 tasks to run: all workers are there|to have its result|context deadline exceeded`},
	{Name: "Goexit is no error", Rule: "GoexitCostsNoWorker", Says: `an error for a task that has called Goexit`},
	{Name: "tasks wait like others", Rule: "TasksMaySubmit", Says: `Submit to return nil`},
	{Name: "tasks of tasks never queue", Rule: "CallerRunsIsTheLastResort", Says: `to wait for a worker: \[outer inner\]`},
	{Name: "a derived context is a stranger's", Rule: "CallerRunsIsTheLastResort", Says: `the inner task's panic as its future's result`},
	{Name: "nobody recovers in place", Rule: "CallerRunsIsTheLastResort", Says: `when one has panicked, and one has returned that`},
	{Name: "a panic's error is a panic", Rule: "CallerRunsIsTheLastResort", Says: `when one has panicked, and one has returned that`},
	{Name: "runs in place for every pool", Rule: "CallerRunsIsTheLastResort", Says: `Stats of the pool that is full`},

	{Name: "no bound", Rule: "QueueIsBounded", Says: `TrySubmit to return ErrFull`},
	{Name: "one more fits", Rule: "QueueIsBounded", Says: `TrySubmit to return ErrFull`},
	{Name: "the last to wait goes first", Rule: "SubmittersTakeTurns", Says: `the first Submit to be let in|Submit to return when its context ends|tasks 0 and 2 to run|progress`},
	{Name: "ctx cannot end a Submit", Rule: "SubmittersTakeTurns", Says: `the first Submit to be let in|Submit to return when its context ends|tasks 0 and 2 to run|progress`},
	{Name: "who gives up runs all the same", Rule: "SubmittersTakeTurns", Says: `the first Submit to be let in|Submit to return when its context ends|tasks 0 and 2 to run|progress`},
	{Name: "who was let in gives up", Rule: "GivingUpIsClean", Says: `an error to mean that the task will not run`},
	{Name: "takes any options", Rule: "NonsenseIsRefused", Says: `New to refuse \{Workers:-\d+ Queue:\d+\}`},

	{Name: "keys do not matter", Rule: "KeysKeepTheirOrder", Says: `tasks of a key one after the other, in the order of Submit`},
	{Name: "two of a key at a time", Rule: "KeysKeepTheirOrder", Says: `tasks of a key one after the other, in the order of Submit`},
	{Name: "the newest first", Rule: "KeysKeepTheirOrder", Says: `tasks of a key one after the other, in the order of Submit`},
	{Name: "only the first is looked at", Rule: "KeysDoNotBlockOthers", Says: `the tasks of others to run`},
	{Name: "keys do not count", Rule: "KeysAreBounded", Says: `Stats with both waiting`},
	{Name: "keys run in place, too", Rule: "KeysAreBounded", Says: `Stats with both waiting`},
	{Name: "the empty key is none", Rule: "KeysAreBounded", Says: `Stats then`},
	{Name: "keys are never forgotten", Rule: "KeysAreForgotten", Says: `Stats when all have ended to be \{Submitted:\d+ Done:\d+ Pa`},
	{Name: "a panic keeps its key", Rule: "KeysAreForgotten", Says: `Stats when all have ended to be \{Submitted:\d+ Done:\d+ Pa`},

	{Name: "Stop forgets the queue", Rule: "StopDrains", Says: `Stop to wait for the tasks|every Stop to return|Stats after Stop|panic`},
	{Name: "Stop does not wait", Rule: "StopDrains", Says: `Stop to wait for the tasks|every Stop to return|Stats after Stop|panic`},
	{Name: "the second Stop panics", Rule: "StopDrains", Says: `Stop to wait for the tasks|every Stop to return|Stats after Stop|panic`},
	{Name: "accepts after Stop", Rule: "StopIsFinal", Says: `ErrStopped|the process ended`},
	{Name: "Stop leaves who waits", Rule: "StopIsFinal", Says: `ErrStopped|the process ended`},
	{Name: "a task may submit while it stops", Rule: "StopIsFinal", Says: `a task that submits while the pool stops`},
	{Name: "the deadline tells no task", Rule: "StopNowGivesUp", Says: `Stop's deadline to end the context`},
	{Name: "the second StopNow does not wait", Rule: "StopNowGivesUp", Says: `StopNow to wait for the task`},
	{Name: "discarded under the lock", Rule: "StopNowGivesUp", Says: `the check to end within`},
	{Name: "a discarded key is remembered", Rule: "StopNowGivesUp", Says: `Stats while the task goes on|Stats at the end`},
	{Name: "Stop has no deadline", Rule: "StopNowGivesUp", Says: `progress|context.DeadlineExceeded`},
	{Name: "tasks know of no end", Rule: "StopNowGivesUp", Says: `Stop's deadline to end the context`},
	{Name: "StopNow runs what waits", Rule: "StopNowGivesUp", Says: `ErrStopped as the result of a task that never began`},
	{Name: "who was discarded is not told", Rule: "StopNowGivesUp", Says: `ErrStopped as the result of a task that never began`},

	{Name: "the article: Submit after Stop panics", Article: true, New: articleLab, Rule: "StopIsFinal", Says: `a Submit that waits for room to return ErrStopped|closed channel|closechan`,
		Why: "Stop closes the channel of tasks, and a Submit that comes later, or at the same moment, sends into it. A flag under the lock that guards the queue refuses it."},
	{Name: "the article: a panic ends the process", Article: true, New: articleLab, Rule: "PanicIsAnError", Says: `the process ended`,
		Why: "Nothing recovers, so one bad request takes every connection with it. A panic is the result of its task."},
	{Name: "the article: Goexit costs a worker", Article: true, New: articleLab, Rule: "GoexitCostsNoWorker", Says: `the check to end within|2 tasks to run: all workers are there|to have its result|context deadline exceeded`,
		Why: "The worker's goroutine ends with the task, for ever, and nobody is told. Its deferred call starts another one."},
}
