package device

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/source"
)

// ModelsKey is the Redis hash of models: from an IMEI, or a prefix with * at its end, to a model or family.
const ModelsKey = "devices:models"

// ModelsSource is where the map of models is kept.
type ModelsSource = source.Source[*Models]

// NewModelsFile returns the map in a text file. Each line has an IMEI, or a prefix with * at its end, and a model or
// family; see source.Lines. A line that has anything else makes the file unusable, and the error names it.
func NewModelsFile(path string) *source.File[*Models] { return source.NewFile(path, parseModels) }

func parseModels(ctx context.Context, r io.Reader) (*Models, error) {
	b := newModelsBuilder(0)
	err := source.Lines(ctx, r, func(number int, line []byte) error {
		if err := b.addLine(line, number); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return b.build()
}

// addLine takes the entry of a line.
func (b *modelsBuilder) addLine(line []byte, number int) error {
	end := max(0, bytes.IndexAny(line, " \t"))
	device, model := line[:end], bytes.TrimSpace(line[end:])
	if end == 0 || bytes.ContainsAny(model, " \t") {
		return fmt.Errorf("it has %d fields, not an IMEI (or prefix*) and a model or family", len(bytes.Fields(line)))
	}
	return b.add(device, model, number)
}

// modelsRedis is the map in the Redis hash. It needs the right to HLEN and HSCAN only.
type modelsRedis struct{ client *redis.Client }

// NewModelsRedis returns the map in the hash of ModelsKey, in the Redis of source.DialRedis. Others change the hash
// field by field, so fields that are no entries are reported and do not spoil the others.
func NewModelsRedis(url, clientName string) (ModelsSource, error) {
	client, err := source.DialRedis(url, clientName)
	if err != nil {
		return nil, err
	}
	return modelsRedis{client}, nil
}

// String implements source.Source.
func (modelsRedis) String() string { return "redis hash " + ModelsKey }

// Close implements source.Source.
func (r modelsRedis) Close() error { return r.client.Close() }

// Read implements source.Source.
func (r modelsRedis) Read(ctx context.Context, _ bool) (*Models, error) {
	fields := func(ctx context.Context) (int64, error) { return r.client.HLen(ctx, ModelsKey).Result() }
	return source.ReadPages(ctx, fields, r.scan)
}

// scan reads all pages. A field may come more than once.
func (r modelsRedis) scan(ctx context.Context, fields int64) (m *Models, found int64, err error) {
	if fields > maxModelEntries {
		return nil, 0, errTooManyEntries
	}
	b := newModelsBuilder(int(fields + fields/64))
	wrong := make(map[string]struct{})
	for cursor := uint64(0); ; {
		page, next, err := r.client.HScan(ctx, ModelsKey, cursor, "", source.PageSize).Result()
		if err != nil {
			return nil, 0, err
		}
		for i := 0; i+1 < len(page); i += 2 {
			if err := b.addField(page[i], page[i+1], wrong); err != nil {
				return nil, 0, err
			}
		}
		if cursor = next; cursor == 0 {
			m, err := b.build()
			if err != nil {
				return nil, 0, err
			}
			return m, int64(m.Len() + m.skipped.count), nil
		}
	}
}

// addField takes a field of the hash, or notes that it is none that can be taken.
func (b *modelsBuilder) addField(device, model string, wrong map[string]struct{}) error {
	err := b.add([]byte(device), []byte(model), 0)
	switch _, again := wrong[device]; {
	case err == nil, again:
		return nil
	case errors.Is(err, errTooManyEntries), errors.Is(err, errTooManyOthers), len(wrong) == maxOtherEntries:
		return err
	}
	wrong[device] = struct{}{}
	b.models.skipped.add(strconv.QuoteToASCII(shown(device)) + ": " + err.Error())
	return nil
}
