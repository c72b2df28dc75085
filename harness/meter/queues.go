package meter

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// A Socket is one end of a loopback TCP connection as the kernel shows it.
type Socket struct {
	Received int // bytes that have arrived and the program has not read
	Unsent   int // bytes the program has written and the peer's kernel has not acknowledged
}

// Queues looks up the IPv4 socket with this local and remote address in
// /proc/net/tcp (proc(5)). found is false when there is none. It needs nothing
// from the program that owns the socket, so a check can wait until a server has
// read everything it was sent, or see that it has stopped reading. It costs
// about a microsecond for each socket of the machine. A server that listens on all
// addresses has IPv6 sockets, which are not looked at.
func Queues(local, remote netip.AddrPort) (s Socket, found bool, err error) {
	if !local.Addr().Unmap().Is4() || !remote.Addr().Unmap().Is4() {
		return s, false, fmt.Errorf("queues of %v and %v: not two IPv4 addresses", local, remote)
	}
	f, err := os.Open("/proc/net/tcp")
	if err != nil {
		return s, false, err
	}
	defer f.Close()
	want := procAddr(local) + " " + procAddr(remote) + " "
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		_, rest, ok := strings.Cut(lines.Text(), want)
		if !ok {
			continue
		}
		// rest is: state, tx_queue:rx_queue, ...
		fields := strings.Fields(rest)
		if len(fields) < 2 {
			return s, false, fmt.Errorf("/proc/net/tcp: unexpected line %q", lines.Text())
		}
		tx, rx, _ := strings.Cut(fields[1], ":")
		return Socket{Received: hexadecimal(rx), Unsent: hexadecimal(tx)}, true, nil
	}
	return s, false, lines.Err()
}

// procAddr writes an address as /proc/net/tcp does: the four bytes of the
// address as one number in the machine's order, then the port.
func procAddr(a netip.AddrPort) string {
	ip := a.Addr().Unmap().As4()
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], binary.NativeEndian.Uint32(ip[:]))
	return strings.ToUpper(hex.EncodeToString(b[:])) + fmt.Sprintf(":%04X", a.Port())
}

func hexadecimal(s string) int {
	n, _ := strconv.ParseInt(s, 16, 64)
	return int(n)
}
