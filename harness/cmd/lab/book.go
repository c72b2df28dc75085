//go:build !light

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/asynclab/asynclab/harness/book"
)

// bookPort is where the book is served, if nothing else is there: an address
// that stays the same can be kept in a browser.
const bookPort = 8026

func bookCommand() *cobra.Command {
	var out string
	var once bool
	port := bookPort
	cmd := &cobra.Command{
		Use:   "book",
		Short: "the documents and handouts as a book with search, served on this machine",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := findClone()
			if err != nil {
				return err
			}
			site, err := c.buildBook(cmd.OutOrStdout(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if out != "" {
				if err := site.Write(out); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "written to %s: open index.html there\n", out)
			}
			if out != "" || once {
				return nil
			}
			return serveBook(cmd.Context(), book.Serve(c.root, site), port, cmd.Flags().Changed("port"), cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "write the site below this folder, and serve nothing")
	cmd.Flags().BoolVar(&once, "once", false, "build the site, say what is wrong with it, and serve nothing")
	cmd.Flags().IntVar(&port, "port", port, "serve on 127.0.0.1 at this port")
	return cmd
}

// buildBook makes the site and says what is wrong with it. A book with a dead
// link is still a book.
func (c clone) buildBook(out, problems io.Writer) (book.Site, error) {
	began := time.Now()
	scr := newScreen(problems)
	scr.status("reading the documents, colouring code")
	site, wrong, err := book.Build(c.root)
	scr.close()
	if err != nil {
		return nil, err
	}
	for _, w := range append(wrong, site.Dead()...) {
		fmt.Fprintln(problems, "book:", w)
	}
	fmt.Fprintf(out, "the book: %d files in %.1f s\n", len(site), time.Since(began).Seconds())
	return site, nil
}

// serveBook serves pages until the context ends. If the port is taken and
// nobody asked for just this one, any other will do.
func serveBook(ctx context.Context, pages http.Handler, port int, asked bool, out io.Writer) error {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil && !asked {
		listener, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return fmt.Errorf("serve the book: %w; name another port with --port", err)
	}
	fmt.Fprintf(out, "read it at http://%s/ (Ctrl-C ends it; what you change is there when you reload)\n", listener.Addr())
	server := &http.Server{Handler: pages, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}
