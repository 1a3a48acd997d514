// Command publish makes a release of a Gitea repository from the files that `make release` has made. It is seen when
// all files are there, and not at all when one of them fails.
//
//	GITEA_URL=https://git.example.org REPOSITORY=owner/name TAG=v1.2.3 TOKEN=… go run ./deploy/packages/publish dist
//
// The token may write releases (scope write:repository).
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

// attempt bounds one request: a file of tens of MB on a slow line.
const attempt = 10 * time.Minute

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: publish DIRECTORY")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r := repository{
		api:   strings.TrimSuffix(os.Getenv("GITEA_URL"), "/") + "/api/v1/repos/" + os.Getenv("REPOSITORY"),
		token: os.Getenv("TOKEN"),
	}
	if err := r.publish(ctx, os.Getenv("TAG"), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "publish:", err)
		os.Exit(1)
	}
}

// repository is one of a Gitea, by the address of its API.
type repository struct{ api, token string }

// release is what the API calls one.
type release struct {
	ID         int64  `json:"id,omitempty"`
	TagName    string `json:"tag_name"`
	Name       string `json:"name"`
	Body       string `json:"body"`
	Draft      bool   `json:"draft"`
	Prerelease bool   `json:"prerelease"`
}

// publish makes the release of a tag that is there, with all files of the directory.
func (r repository) publish(ctx context.Context, tag, dir string) error {
	notes, err := os.ReadFile(filepath.Join(dir, "RELEASE_NOTES.md"))
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "SHA256SUMS.sig")); errors.Is(err, os.ErrNotExist) {
		notes = append(notes, "\nThis release is not signed.\n"...)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return err
	}
	made := release{TagName: tag, Name: tag, Body: string(notes), Draft: true, Prerelease: strings.Contains(tag, "-")}
	if err := r.sendJSON(ctx, http.MethodPost, "/releases", &made); err != nil {
		return err
	}
	at := fmt.Sprintf("/releases/%d", made.ID)
	for _, path := range paths {
		if err := r.upload(ctx, at+"/assets", path); err != nil {
			return errors.Join(err, r.remove(context.WithoutCancel(ctx), at))
		}
	}
	made.Draft = false
	return r.sendJSON(ctx, http.MethodPatch, at, &made)
}

// remove takes back the draft, so that the next attempt begins anew.
func (r repository) remove(ctx context.Context, at string) error {
	_, err := r.send(ctx, http.MethodDelete, at, "", nil)
	return err
}

// sendJSON sends the release and takes over what it has become.
func (r repository) sendJSON(ctx context.Context, method, path string, what *release) error {
	body, err := json.Marshal(what)
	if err != nil {
		return err
	}
	answer, err := r.send(ctx, method, path, "application/json", body)
	if err != nil {
		return err
	}
	return json.Unmarshal(answer, what)
}

func (r repository) upload(ctx context.Context, at, path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("attachment", filepath.Base(path))
	if err != nil {
		return err
	}
	_, _ = part.Write(content) // to memory
	_ = form.Close()
	_, err = r.send(ctx, http.MethodPost, at+"?name="+url.QueryEscape(filepath.Base(path)), form.FormDataContentType(),
		body.Bytes())
	return err
}

// send returns the answer's first MiB. An answer that is not of the 200s is an error.
func (r repository) send(ctx context.Context, method, path, kind string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, r.api+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "token "+r.token)
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s: %s: %.500q", method, path, answer.Status, text)
	}
	return text, nil
}
