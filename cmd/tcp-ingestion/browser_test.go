package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is a real one with a single tab, which remembers what it asked for and what it complained about.
type browser struct {
	t   testing.TB
	ctx context.Context

	mu         sync.Mutex
	requests   []string
	complaints []string // the console's, exceptions, what a policy refused, dialogs
}

// openBrowser starts Debian's chromium without a window.
func openBrowser(t testing.TB) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("the operator's page is tested in chromium: make tools installs it")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.WindowSize(1100, 1000), chromedp.UserDataDir(t.TempDir()))
	allocated, endAll := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, end := chromedp.NewContext(allocated)
	b := &browser{t: t, ctx: ctx}
	t.Cleanup(func() {
		closing, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if err := chromedp.Cancel(closing); err != nil {
			t.Logf("browser: %v", err)
		}
		end()
		endAll()
	})
	if err := chromedp.Listen(ctx, b.note); err != nil {
		t.Fatalf("chromium does not start: %v", err)
	}
	for _, err := range []error{
		call(b, network.Enable, network.EnableParams{}), call(b, page.Enable, page.EnableParams{}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// note takes an event of the tab. It must not wait for the tab.
func (b *browser) note(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	complain := func(format string, args ...any) { b.complaints = append(b.complaints, fmt.Sprintf(format, args...)) }
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	case *runtime.EventConsoleAPICalled:
		for _, arg := range e.Args {
			complain("console %s: %s", e.Type, arg.Value)
		}
	case *runtime.EventExceptionThrown:
		complain("exception: %s %s", e.ExceptionDetails.Text, e.ExceptionDetails.Exception.Description)
	case *log.EventEntryAdded:
		if e.Entry.Level != log.EntryLevelVerbose { // what is only said to developers
			complain("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL)
		}
	case *page.EventJavascriptDialogOpening:
		complain("dialog: %s", e.Message)
		go call(b, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
	}
}

// call sends a command to the tab.
func call[P, R any](b *browser, command cdp.Command[P, R], parameters P) error {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	_, err := chromedp.Call(ctx, command, parameters)
	return err
}

// do does something in the tab, which must be done soon.
func (b *browser) do(what string, action chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, action); err != nil {
		b.fatal(what, err)
	}
}

func (b *browser) fatal(what string, err error) {
	b.t.Helper()
	text, _ := evaluate[string](b, `document.body.innerText`)
	b.t.Fatalf("%s: %v\nthe page says:\n%s\ncomplaints: %q", what, err, text, b.complained())
}

// evaluate returns what an expression is in the page.
func evaluate[T any](b *browser, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression))
}

// waitTrue waits until an expression is true.
func (b *browser) waitTrue(what, expression string) {
	b.t.Helper()
	for end := time.Now().Add(patience); ; {
		yes, err := evaluate[bool](b, expression)
		if err == nil && yes {
			return
		}
		if time.Now().After(end) {
			b.fatal("waited for: "+what, err)
		}
		time.Sleep(50 * time.Millisecond) // between two looks
	}
}

// waitText waits until what the selector finds shows the text.
func (b *browser) waitText(selector, text string) {
	b.t.Helper()
	b.waitTrue(selector+" shows "+text,
		fmt.Sprintf(`[...document.querySelectorAll(%s)].some((e) => e.innerText.includes(%s))`,
			strconv.Quote(selector), strconv.Quote(text)))
}

// waitGone waits until the selector finds nothing.
func (b *browser) waitGone(selector string) {
	b.t.Helper()
	b.waitTrue(selector+" is gone", fmt.Sprintf(`!document.querySelector(%s)`, strconv.Quote(selector)))
}

// click presses what the selector finds.
func (b *browser) click(selector string) {
	b.t.Helper()
	b.do("click "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// fill types into an input that is empty, and ends with Enter.
func (b *browser) fill(selector, text string) {
	b.t.Helper()
	b.waitTrue(selector+" is empty", fmt.Sprintf(`document.querySelector(%s)?.value === ""`, strconv.Quote(selector)))
	b.do("fill "+selector, chromedp.SendKeys(chromedp.CSS(selector), text+"\r"))
}

func (b *browser) open(url string) {
	b.t.Helper()
	b.do("open "+url, chromedp.Navigate(url))
}

func (b *browser) complained() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.complaints
}

// wantNoComplaint fails if the console has something, a policy was broken, or somebody else was asked. A refusal by
// the API is a complaint of the browser too: those that were wanted are told by their paths.
func (b *browser) wantNoComplaint(origin string, refusals ...string) {
	b.t.Helper()
	for _, c := range b.complained() {
		if !slices.ContainsFunc(refusals, func(path string) bool { return strings.HasSuffix(c, path) }) {
			b.t.Errorf("the browser complains: %s", c)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.requests {
		if !strings.HasPrefix(r, origin) {
			b.t.Errorf("asked for %s", r)
		}
	}
	if len(b.requests) < 10 {
		b.t.Errorf("%d requests seen", len(b.requests))
	}
}

// screenshotsVar is the folder where make screenshots keeps pictures of the page.
const screenshotsVar = "SCREENSHOTS"

// picture keeps a picture, if they are wanted.
func (b *browser) picture(name string) {
	b.t.Helper()
	folder := os.Getenv(screenshotsVar)
	if folder == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, name+".png"), png, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}
