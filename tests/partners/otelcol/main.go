// An OpenTelemetry Collector for tests: the real OTLP receiver in front, one JSON line per export behind.
//
//	OTLP_GRPC=127.0.0.1:4317 OTLP_HTTP=127.0.0.1:4318 SPANS=/tmp/spans.jsonl otelcol --config file:config.yaml
//
// Each line is the export as OTLP JSON (resourceSpans), written and flushed before the export is answered, so a
// test that has seen its export succeed finds the spans in the file.
package main

import (
	"context"
	"fmt"
	"os"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/envprovider"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry/otelconftelemetry"
)

type settings struct {
	Path string `mapstructure:"path"`
}

// jsonFile is an exporter that the Collector starts, feeds from several goroutines, and shuts down.
type jsonFile struct {
	path string
	lock sync.Mutex
	file *os.File
}

func (j *jsonFile) Start(context.Context, component.Host) (err error) {
	j.file, err = os.OpenFile(j.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return err
}

func (j *jsonFile) Shutdown(context.Context) error { return j.file.Close() }

func (j *jsonFile) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (j *jsonFile) ConsumeTraces(_ context.Context, traces ptrace.Traces) error {
	line, err := new(ptrace.JSONMarshaler).MarshalTraces(traces)
	if err != nil {
		return err
	}
	j.lock.Lock()
	defer j.lock.Unlock()
	_, err = j.file.Write(append(line, '\n'))
	return err
}

func factories() (set otelcol.Factories, err error) {
	lines := exporter.NewFactory(component.MustNewType("jsonfile"),
		func() component.Config { return new(settings) },
		exporter.WithTraces(func(_ context.Context, _ exporter.Settings, c component.Config) (exporter.Traces, error) {
			return &jsonFile{path: c.(*settings).Path}, nil
		}, component.StabilityLevelDevelopment))
	if set.Receivers, err = otelcol.MakeFactoryMap[receiver.Factory](otlpreceiver.NewFactory()); err != nil {
		return set, err
	}
	if set.Exporters, err = otelcol.MakeFactoryMap[exporter.Factory](lines); err != nil {
		return set, err
	}
	set.Processors = map[component.Type]processor.Factory{}
	set.Connectors = map[component.Type]connector.Factory{}
	set.Telemetry = otelconftelemetry.NewFactory()
	return set, nil
}

func main() {
	command := otelcol.NewCommand(otelcol.CollectorSettings{
		BuildInfo: component.BuildInfo{Command: "otelcol", Description: "Collector for CodeQ's tests", Version: "1"},
		Factories: factories,
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
			ProviderFactories: []confmap.ProviderFactory{fileprovider.NewFactory(), envprovider.NewFactory()},
		}},
	})
	if err := command.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
