package queuetest

import (
	"flag"
	"os"
	"testing"

	"github.com/asynclab/asynclab/harness/spec"
)

func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "8") // some mutants wait in vain for something
	os.Exit(m.Run())
}

// TestVictim is what a victim of a variant runs: see kill.go.
func TestVictim(t *testing.T) { beVictim(variantLab(fault(os.Getenv(faultEnv)))) }

func TestAcceptsAnotherStyle(t *testing.T) { suite.Accepts(t, variantLab("")) }

func TestMutants(t *testing.T) {
	var all []spec.Mutant[lab]
	for _, m := range mutants {
		if m.New.Open == nil {
			m.New = variantLab(fault(m.Name))
		}
		all = append(all, m)
	}
	suite.Refuses(t, all)
}

// mutants are variants with the fault that is their name, but for the queue that
// everybody writes first, which has its own code.
var mutants = []spec.Mutant[lab]{
	{Name: "offsets begin with 1", Rule: "ReadsWhatWasAppended", Says: `the offsets to be \d+, \d+, \d+ and so on: \d+`},
	{Name: "keys are forgotten", Rule: "ReadsWhatWasAppended", Says: `record \d+ as it was appended at once`},
	{Name: "a key runs on into its value", Rule: "ReadsWhatWasAppended", Says: `the records to be the reader's, each by itself`},
	{Name: "a value ends with its line", Rule: "ReadsWhatWasAppended", Says: `record \d+ as it was appended at once`},
	{Name: "takes any options", Rule: "NonsenseIsRefused", Says: `Open to refuse \{FS:`},
	{Name: "no record is too large", Rule: "NonsenseIsRefused", Says: `TryAppend of \d+ bytes with MaxPending \d+ to return ErrTooLarge`},
	{Name: "Read knows no bound", Rule: "ReadsAreBounded", Says: `Read\(\d+, \d+\) to return at most \d+ bytes`},
	{Name: "a record that is too large is not read", Rule: "ReadsAreBounded", Says: `Read to return the record that was asked for`},
	{Name: "beyond the end it waits", Rule: "RangesAreChecked", Says: `Read\(\d+\) to return ErrRange: the log has \d+ to -\d+`},
	{Name: "Wait is content with less", Rule: "RangesAreChecked", Says: `Wait\(\d+\) to wait until offset \d+ is there`},
	{Name: "the index is off by one", Rule: "EveryOffsetIsFound", Says: `Read\(\d+\) to begin with offset \d+ at once`},
	{Name: "reads from the batch on", Rule: "EveryOffsetIsFound", Says: `Read\(\d+\) to begin with offset \d+ at once`},

	{Name: "a slot is used again before it was used", Rule: "AcknowledgedIsDurable", Says: `Append to wait for its own fsync`},
	{Name: "acknowledges before the fsync", Rule: "AcknowledgedIsDurable", Says: `records \d+ to \d+ when the power went at the acknowledgement of record \d+`},
	{Name: "never syncs", Rule: "AcknowledgedIsDurable", Says: `records \d+ to \d+ when the power went at the acknowledgement of record \d+`},
	{Name: "the directory is not synced at Open", Rule: "AcknowledgedIsDurable", Says: `records \d+ to \d+ when the power went at the acknowledgement of record \d+`},
	{Name: "the log's own directory is not synced", Rule: "AcknowledgedIsDurable", Says: `records \d+ to \d+ when the power went at the acknowledgement of record \d+`},
	{Name: "an fsync for each record", Rule: "OneSyncForMany", Says: `\d+ fsyncs for the \d+ records`},
	{Name: "no delay", Rule: "DelayGathers", Says: `fsyncs at \[\d+ms \d+ms \d+ms \d+ms\]`},
	{Name: "the delay begins with the last record", Rule: "DelayGathers", Says: `fsyncs at \[\d+ms \d+ms \d+ms \d+ms\]`},
	{Name: "a full batch waits for its delay", Rule: "DelayGathers", Says: `fsyncs at \[\d+ms \d+ms \d+ms \d+ms\]`},
	{Name: "the newest of a batch first", Rule: "OffsetsAreTheOrder", Says: `the records of a producer in their order`},
	{Name: "the last of a batch is told first", Rule: "OffsetsAreTheOrder", Says: `acknowledgements in the order of offsets, each once`},
	{Name: "readers see what is not synced", Rule: "UnacknowledgedIsInvisible", Says: `Wait\(\d+\) to wait for the fsync`},
	{Name: "the lock is held over the fsync", Rule: "LocksAreFree", Says: `TryAppend, AppendAsync, Read, Bounds and Stats to return while an fsyn`},

	{Name: "a short write is a write", Rule: "ShortWritesResume", Says: `to read offsets \d+ to \d+ that were written in pieces`},
	{Name: "a short write is an error", Rule: "ShortWritesResume", Says: `Append of record \d+ to return nil`},
	{Name: "a full disk leaves a hole", Rule: "FailedWriteLeavesNoHole", Says: `Open to open the log: nothing is wrong with it`},
	{Name: "what a full disk has taken stays", Rule: "FailedWriteLeavesNoHole", Says: `record \d+ to have offset \d+`},
	{Name: "hopes that it was cut off", Rule: "FailedWriteLeavesNoHole", Says: `Open to open the log: what a failed write has left is not in the way`},
	{Name: "a full disk is acknowledged", Rule: "FailedWriteLeavesNoHole", Says: `Append to return the disk's error`},
	{Name: "a full disk is the end", Rule: "FailedWriteLeavesNoHole", Says: `Append of record \d+ to return nil`},
	{Name: "ignores the error of fsync", Rule: "FailedSyncIsFinal", Says: `record \d+ to be told an error: its fsync, or one before it, has failed`},
	{Name: "an fsync that fails is tried again", Rule: "FailedSyncIsFinal", Says: `record \d+ to be told an error: its fsync, or one before it, has failed`},
	{Name: "after a failed fsync it goes on", Rule: "FailedSyncIsFinal", Says: `record \d+ to be told an error: its fsync, or one before it, has failed`},
	{Name: "after a failed fsync nothing can be read", Rule: "FailedSyncIsFinal", Says: `to read offsets \d+ to \d+ after a failed fsync: reading goes on`},
	{Name: "who waits for room is not told of a failed fsync", Rule: "FailedSyncIsFinal", Says: `who waits for room to be told of a failed fsync`},
	{Name: "who is queued is not told of a failed fsync", Rule: "FailedSyncIsFinal", Says: `everybody whose record was queued to be told`},
	{Name: "ignores the error of the directory's fsync", Rule: "FailedRollLosesNothing", Says: `an Append to fail when a new segment cannot be made`},
	{Name: "a new file that cannot be made is the end", Rule: "FailedRollLosesNothing", Says: `Append to return nil when a new segment can be made again`},

	{Name: "a torn tail is an error", Rule: "TornTailIsCut", Says: `Open to cut off the torn batch`},
	{Name: "a torn tail is read as far as it goes", Rule: "TornTailIsCut", Says: `record \d+ at its offset when \d+ of the last \d+ bytes were there, zeros`},
	{Name: "the next batch goes behind a torn tail", Rule: "TornTailIsCut", Says: `Open to open a log whose tail was cut before`},
	{Name: "takes a batch in a value for one of its own", Rule: "TornTailIsCut", Says: `Open to cut off a torn batch whose value holds a whole one`},
	{Name: "looks behind damage in pieces", Rule: "DamageIsRefused", Says: `a whole one begins at byte`},
	{Name: "damage is cut off", Rule: "DamageIsRefused", Says: `Open to refuse a damaged log: bit \d+ of byte \d+ of \d+`},
	{Name: "damage is skipped", Rule: "DamageIsRefused", Says: `Open to refuse a damaged log: bit \d+ of byte \d+ of \d+`},
	{Name: "no CRC", Rule: "DamageIsRefused", Says: `Open to refuse a damaged log: bit \d+ of byte \d+ of \d+`},
	{Name: "the CRC does not cover the header", Rule: "DamageIsRefused", Says: `Open to refuse a damaged log: bit \d+ of byte \d+ of \d+`},
	{Name: "the CRC does not cover the base", Rule: "BatchesAreChecked", Says: `ReadBatch to refuse a batch whose byte \d+ has changed`},
	{Name: "the CRC does not cover the lengths of records", Rule: "DamageIsRefused", Says: `Open to refuse a damaged log: bit \d+ of bytes \d+ and \d+ of \d+`},
	{Name: "an error says nothing of the place", Rule: "DamageIsRefused", Says: `an error that names \d+\.log and byte \d+: bit \d+ of by`},
	{Name: "what is refused is cut all the same", Rule: "DamageIsRefused", Says: `Open to leave a damaged file as it is`},
	{Name: "believes what the kernel remembers", Rule: "RecoveredIsDurable", Says: `records \d+ to \d+ that were shown before the power went`},
	{Name: "a missing file is none", Rule: "FullSegmentsAreWhole", Says: `Open or Read to refuse a log with a file missing in the middle`},
	{Name: "believes any index that it can read", Rule: "IndexIsRebuilt", Says: `Read to find every offset: the index files were another segment's`},
	{Name: "an index that is wrong is an error", Rule: "IndexIsRebuilt", Says: `Open to make the index anew: its files are empty`},
	{Name: "an index that is missing is an error", Rule: "IndexIsRebuilt", Says: `Open to make the index anew: its files are deleted`},

	{Name: "one file for ever", Rule: "SegmentsRoll", Says: `a segment to be full at \d+ bytes, and larger by at most one batch`},
	{Name: "files are called by their number", Rule: "SegmentsRoll", Says: `Open to open the log`},
	{Name: "the first record of a new file is lost", Rule: "SegmentsRoll", Says: `record \d+ to have offset \d+`},
	{Name: "the name of a new file is not synced", Rule: "CrashAnywhereLosesNothing", Says: `every acknowledged record after a crash before change|the record that was acknowledged after a crash before change`},
	{Name: "the directory is synced at the first Open only", Rule: "CrashAnywhereLosesNothing", Says: `the record that was acknowledged after a crash before change \d+ of the`},
	{Name: "an empty last file is an error", Rule: "CrashAnywhereLosesNothing", Says: `Open to open the log after a crash before change \d+ of the disk \(the p`},
	{Name: "acknowledges from memory", Rule: "KilledProcessLosesNothing", Says: `every record that was acknowledged|a victim to open the log|the check to get through`},

	{Name: "fetches a part of a batch", Rule: "FetchSendsTheFile", Says: `FetchTo\(\d+, \d+\) to send whole batches, which ReadBatch reads`},
	{Name: "fetches from the beginning of the file", Rule: "FetchSendsTheFile", Says: `FetchTo\(\d+, \d+\) to begin with the batch that has offset \d+`},
	{Name: "fetches what it has encoded anew", Rule: "FetchSendsTheFile", Says: `FetchTo\(\d+, \d+\) to send bytes as they are in a segment`},
	{Name: "FetchTo knows no bound", Rule: "FetchSendsTheFile", Says: `FetchTo\(\d+, \d+\) to send at most \d+ bytes, or one batch`},
	{Name: "returns the offset it was given", Rule: "FetchSendsTheFile", Says: `FetchTo\(\d+, \d+\) to return \d+, the offset behind what it has sent`},
	{Name: "the lock is held while it sends", Rule: "FetchIsPatient", Says: `Append and Read to go on while a consumer does not read`},
	{Name: "a file is closed under its reader", Rule: "ReadersKeepTheirSegment", Says: `FetchTo to return nil: what it sends is there until it has ended`},
	{Name: "a file that grows has changed", Rule: "FetchIsPatient", Says: `FetchTo to return nil: what it sends is there until it has ended, and does not change`},
	{Name: "a consumer that is gone is none of its business", Rule: "FetchIsPatient", Says: `FetchTo to return the connection's error`},
	{Name: "ReadBatch checks nothing", Rule: "BatchesAreChecked", Says: `ReadBatch to refuse a batch whose byte \d+ has changed`},
	{Name: "ReadBatch reads ahead", Rule: "BatchesAreChecked", Says: `ReadBatch to read one batch, and no byte of the next`},
	{Name: "a torn batch is the end", Rule: "BatchesAreChecked", Says: `ReadBatch to return unexpected EOF after \d+ of \d+ bytes`},

	{Name: "no bound", Rule: "PendingIsBounded", Says: `room for \d+ to \d+ records of \d+ bytes at first`},
	{Name: "only the queue counts against the bound", Rule: "PendingIsBounded", Says: `\d+ to \d+,\d+ bytes pending`},
	{Name: "a failed batch keeps its room", Rule: "PendingIsBounded", Says: `room after a write that has failed`},
	{Name: "small ones pass", Rule: "WaitersGetTheirRoom", Says: `TryAppend not to pass those who wait: ErrFull`},
	{Name: "the last to wait goes first", Rule: "WaitersGetTheirRoom", Says: `records \d+ to \d+ and \d+ to \d+, in the order of the calls`},
	{Name: "ctx cannot end who waits for room", Rule: "WaitersGetTheirRoom", Says: `AppendAsync to return when its context ends`},
	{Name: "who gives up stays in line", Rule: "WaitersGetTheirRoom", Says: `records \d+ to \d+ and \d+ to \d+, in the order of the calls`},
	{Name: "Close forgets the queue", Rule: "CloseKeepsWhatWasAccepted", Says: `all \d+ to be acknowledged before Close returns`},
	{Name: "Close waits for the delay", Rule: "CloseKeepsWhatWasAccepted", Says: `Close not to wait for MaxDelay`},
	{Name: "Close does not wait", Rule: "CloseIsFinal", Says: `Close to wait for the record that was accepted`},
	{Name: "Close leaves those in line", Rule: "CloseIsFinal", Says: `Append, which waits for room, to return when the log is closed`},
	{Name: "Close leaves those in Wait", Rule: "CloseIsFinal", Says: `Wait to return when the log is closed`},
	{Name: "Close leaves those in Ack", Rule: "CloseEndsGroups", Says: `Close not to return nil while an Ack writes`},
	{Name: "Close leaves those in Receive", Rule: "CloseEndsGroups", Says: `Receive to return when the log is closed`},
	{Name: "accepts after Close", Rule: "CloseIsFinal", Says: `TryAppend to return ErrClosed`},
	{Name: "can be read after Close", Rule: "CloseIsFinal", Says: `Append, Read and Wait to return ErrClosed after Close`},
	{Name: "the second Close panics", Rule: "CloseIsFinal", Says: `the process ended \(exit status \d+\):`},
	{Name: "Close has no deadline", Rule: "CloseGivesUp", Says: `progress`},
	{Name: "what Close gives up is not told", Rule: "CloseGivesUp", Says: `records \d+ and \d+ to be told ErrClosed`},

	{Name: "a group begins at the end", Rule: "GroupDeliversAll", Says: `Receive to deliver a record at once`},
	{Name: "groups share what is done", Rule: "GroupsKeepWhatTheyNeed", Says: `the log to begin with \d+: group slow has committed nothing, and is ther`},
	{Name: "takes any name", Rule: "GroupDeliversAll", Says: `Group to refuse the name "", which is no name of a file`},
	{Name: "a group does not see new records", Rule: "GroupDeliversAll", Says: `a Receive that waits to get records as they come`},
	{Name: "two consumers get one record", Rule: "OneConsumerAtATime", Says: `every record to one consumer`},
	{Name: "what is found done is believed to be on the disk", Rule: "AcksAreDurable", Says: `its Ack was killed, and a second one has returned nil`},
	{Name: "the tail is cut before the groups are read", Rule: "AcksAreDurable", Says: `Open to change nothing of a log that it refuses`},
	{Name: "what is done is in memory", Rule: "AcksAreDurable", Says: `offset \d+ to be committed, when the power goes: what was not synced is `},
	{Name: "the group's file is written over", Rule: "AcksAreDurable", Says: `Open to open the log after a crash in the midst of an Ack`},
	{Name: "the group's file is not synced", Rule: "AcksAreDurable", Says: `Open to open the log after a crash in the midst of an Ack`},
	{Name: "the renaming is not synced", Rule: "AcksAreDurable", Says: `offset \d+ to be committed, when the power goes: what was not synced is `},
	{Name: "the error of an Ack is nobody's", Rule: "AcksAreDurable", Says: `Ack to return an error when it cannot be on the disk`},
	{Name: "what was tried before counts as done", Rule: "AcksAreDurable", Says: `offset \d+ to be committed: the second Ack has returned nil`},
	{Name: "committed is the highest", Rule: "AcksInAnyOrder", Says: `committed \d+ when \[\d+\] was acknowledged`},
	{Name: "writes over what a crash has left", Rule: "AcksInAnyOrder", Says: `a crash in the midst of an Ack, then all was acknowledged, then the powe`},
	{Name: "committed is the last", Rule: "AcksInAnyOrder", Says: `committed \d+ when \[\d+\] was acknowledged`},
	{Name: "acks above what is committed are forgotten", Rule: "AcksInAnyOrder", Says: `offset \d+ after the restart: \d+, \d+ and \d+ were not acknowledged`},

	{Name: "delivers again what is done", Rule: "VisibilityIsKept", Says: `offset \d+, attempt \d+`},
	{Name: "Visibility does not end", Rule: "VisibilityIsKept", Says: `offset \d+, attempt \d+, at \d+s`},
	{Name: "Visibility is over at once", Rule: "VisibilityIsKept", Says: `offset \d+, attempt \d+, at \d+s`},
	{Name: "who waits is not told of a Nack", Rule: "BackoffIsKept", Says: `the one who waits to get the record at \d+\.\d+s`},
	{Name: "no Backoff", Rule: "BackoffIsKept", Says: `attempt \d+ at \d+ms`},
	{Name: "Backoff does not grow", Rule: "BackoffIsKept", Says: `attempt \d+ at \d+ms`},
	{Name: "Backoff overflows", Rule: "BackoffIsKept", Says: `attempt \d+ at`},
	{Name: "Backoff has no bound", Rule: "BackoffIsKept", Says: `attempt \d+ at \d+\.\d+s`},
	{Name: "silence has no Backoff", Rule: "BackoffIsKept", Says: `attempt \d+ at \d+\.\d+s`},
	{Name: "a stale Ack counts", Rule: "StaleAckIsRefused", Says: `Ack to return ErrStale: the record is somebody else's`},
	{Name: "a stale Nack counts", Rule: "StaleAckIsRefused", Says: `Nack to return ErrStale: the record is somebody else's`},
	{Name: "a late Ack is refused", Rule: "StaleAckIsRefused", Says: `Ack to return nil, late, while nobody else has the record`},
	{Name: "in flight without a bound", Rule: "InFlightIsBounded", Says: `Receive to have nothing: \d+ records are in flight, and MaxInFlight is \d+`},
	{Name: "what waits is not in flight", Rule: "InFlightIsBounded", Says: `Receive to have nothing: \d+ records are with consumers, one waits for`},
	{Name: "a group that was full sleeps on", Rule: "InFlightIsBounded", Says: `a Receive that waits to get a record when another is done`},
	{Name: "tried for ever", Rule: "DeadLettersAreKept", Says: `Receive to have nothing: two records are dead letters, one is done`},
	{Name: "a dead letter is thrown away", Rule: "DeadLettersAreKept", Says: `records \d+ to \d+ as a dead letter`},
	{Name: "done before the dead letter", Rule: "DeadLettersAreKept", Says: `a record that was never acknowledged to be delivered again, or to be a`},
	{Name: "a dead letter has no key", Rule: "DeadLettersAreKept", Says: `record \d+ at its offset as a dead letter`},
	{Name: "an attempt is forgotten in a crash", Rule: "DeadLettersAreKept", Says: `offset \d+, attempt \d+`},
	{Name: "a delivery is not the consumer's own", Rule: "DeadLettersAreKept", Says: `the record as it was appended`},
	{Name: "dead letters have the log's bound", Rule: "DeadLettersAreKept", Says: `a record of \d+ MiB to become a dead letter: MaxPending bounds what is a`},
	{Name: "dead letters go like others", Rule: "DeadLettersAreKept", Says: `to read the dead letters`},
	{Name: "a dead letter that cannot be written is done", Rule: "FullDiskKeepsTheDying", Says: `the record not to count as done`},

	{Name: "size does not matter", Rule: "RetainsBySizeAndAge", Says: `\d+ to \d+ bytes to be kept`},
	{Name: "age does not matter", Rule: "RetainsBySizeAndAge", Says: `segments that are older than \d+ minutes to go`},
	{Name: "the age is that of the first record", Rule: "RetainsBySizeAndAge", Says: `records younger than \d+ minutes to be kept`},
	{Name: "what is written to goes as well", Rule: "RetainsBySizeAndAge", Says: `the log to end with \d+`},
	{Name: "below the first it begins there", Rule: "RetainsBySizeAndAge", Says: `Read of what was removed to return ErrRange`},
	{Name: "groups do not matter", Rule: "GroupsKeepWhatTheyNeed", Says: `offset \d+, attempt \d+`},
	{Name: "a group that nobody has opened does not matter", Rule: "GroupsKeepWhatTheyNeed", Says: `the log to begin with \d+: group slow has committed nothing, and is ther`},
	{Name: "what was delivered counts as done", Rule: "GroupsKeepWhatTheyNeed", Says: `the log to begin not above \d+: what is delivered is not done`},
	{Name: "Retain believes an Ack that has failed", Rule: "GroupsKeepWhatTheyNeed", Says: `is not on the disk: the group needs its records`},
	{Name: "Retain believes a file that it has found", Rule: "GroupsKeepWhatTheyNeed", Says: `is not on the disk: the group needs its records`},
	{Name: "RetainPastGroups does not matter", Rule: "GroupsKeepWhatTheyNeed", Says: `RetainPastGroups to remove what slow needs`},
	{Name: "a file that was removed stays open", Rule: "ReadersKeepTheirSegment", Says: `the files that were removed to be closed`},
	{Name: "the directory is synced once for all", Rule: "RetentionLeavesNoGap", Says: `Open to open the log when the power went before change \d+ of Retain \(th`},
	{Name: "goes on behind one that stays", Rule: "RetentionLeavesNoGap", Says: `Open to open the log when removal \d+ has failed once`},
	{Name: "the newest file goes first", Rule: "RetentionLeavesNoGap", Says: `Open to open the log when the power went before change \d+ of Retain \(th`},

	{Name: "written first: a write counts as stored", Article: true, New: articleLab, Rule: "AcknowledgedIsDurable", Says: `records \d+ to \d+ when the power went at the acknowledgement of record \d+`,
		Why: "What write(2) has taken is in the kernel's memory, and goes with the power. fsync, of the file and of the directory that names it, comes before the acknowledgement."},
	{Name: "written first: a full disk leaves half a line", Article: true, New: articleSynced, Rule: "FailedWriteLeavesNoHole", Says: `to read offsets \d+ to \d+ behind a full disk, after a loss of power`,
		Why: "The write fails in the middle, the program goes on behind it, and the next record is lost with the first after a restart. What a failed write has left is cut off before the next one."},
	{Name: "written first: what cannot be read is skipped", Article: true, New: articleSynced, Rule: "DamageIsRefused", Says: `Open to refuse a damaged log: bit \d+ of byte \d+ of \d+`,
		Why: "A line that is no JSON is passed over without a word, and one with a changed digit is believed. A checksum over everything finds both, and the error says where."},
	{Name: "written first: the offset is a variable", Article: true, New: articleSynced, Rule: "AcksAreDurable", Says: `offset \d+ to be committed, when the power goes: what was not synced is `,
		Why: "After a restart every consumer begins again with the first record. What is done belongs on the disk, before Ack returns."},
	{Name: "written first: who takes a record and dies has taken it along", Article: true, New: articleSynced, Rule: "VisibilityIsKept", Says: `offset \d+, attempt \d+, at \d+s`,
		Why: "Nobody notices that a consumer is gone, and its record is never seen again. A record is lent for a time."},
	{Name: "written first: what has failed comes back at once", Article: true, New: articleSynced, Rule: "BackoffIsKept", Says: `attempt \d+ at \d+ms`,
		Why: "It fails again, at once and for ever, and keeps a consumer from records that would succeed. Each attempt waits longer than the one before, and after some it becomes a dead letter."},
	{Name: "written first: the file only grows", Article: true, New: articleSynced, Rule: "RetainsBySizeAndAge", Says: `\d+ to \d+ bytes to be kept`,
		Why: "Nothing can be taken away from the front of a file. Segments can be removed."},
}
