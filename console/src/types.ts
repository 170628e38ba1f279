/** Every JSON shape the page reads or sends. Sources: localcloud/control/page.py,
 * service/contract/shapes.py, Google's Dashboard, Prometheus' HTTP API. */

export interface Region {
  name: string;
  city: string;
  latitude: number;
  longitude: number;
  role: "hub" | "regional";
  /** Region whose primary takes the writes; itself in a hub. */
  hub: string | null;
  /** Its own instances answer at its own front door. */
  ready: boolean;
  instances: number;
  maximum: number;
  /** It has a front door. */
  serving: boolean;
  /** Region that answered the last probe of the front door. */
  served_by: string | null;
  latency_ms: number | null;
  requests_per_second: number;
  url: string | null;
}

export interface Part {
  name: string;
  kind: string;
  pid: number;
  healthy: boolean;
}

export interface Fault {
  /** `<kind>/<region>`. */
  target: string;
  how: string;
  /** Unix time, seconds. */
  until: number;
}

export interface World {
  regions: Region[];
  parts: Part[];
  faults: Fault[];
  /** Unix time, seconds. */
  at: number;
}

/** One standing query that heard one item. */
export interface Match {
  /** Id of the stream; the demo and this page use the query's words. */
  stream: string;
  collection: string;
  item: string;
  text: string;
  score: number;
  written_in: string;
  /** Where the watcher is. */
  region: string;
  /** From the acknowledged write to the notification. */
  milliseconds: number;
  /** Unix time, milliseconds. */
  committed_at: number;
  event_id: string;
}

export interface TimeSeriesQuery {
  prometheusQuery?: string;
  unitOverride?: string;
}

export interface Threshold {
  value: number;
  label?: string;
}

export interface DataSet {
  timeSeriesQuery: TimeSeriesQuery;
  plotType?: string;
  legendTemplate?: string | null;
}

export interface XyChart {
  dataSets: DataSet[];
  thresholds?: Threshold[];
  yAxis?: { label?: string };
}

export interface Scorecard {
  timeSeriesQuery: TimeSeriesQuery;
  thresholds?: Threshold[];
}

export interface Widget {
  title?: string;
  xyChart?: XyChart;
  scorecard?: Scorecard;
  text?: { content?: string };
}

export interface Tile {
  xPos?: number;
  yPos?: number;
  width: number;
  height: number;
  widget: Widget;
}

export interface Dashboard {
  displayName: string;
  mosaicLayout?: { columns: number; tiles: Tile[] };
}

export interface Dashboards {
  dashboards: Dashboard[];
}

export type Labels = Record<string, string>;

export interface RangeSeries {
  metric: Labels;
  values: [number, string][];
}

export interface RangeAnswer {
  status: "success" | "error";
  error?: string;
  data?: { resultType: string; result: RangeSeries[] };
}

export interface Alert {
  labels: Labels;
  annotations: Labels;
  state: "pending" | "firing" | "inactive";
  activeAt?: string;
}

export interface Alerts {
  data?: { alerts: Alert[] };
}

export interface DeclaredType {
  type: string;
  count: number;
  /** What runs it; null: kept as state, not run. */
  runs: string | null;
}

export interface Declared {
  types: DeclaredType[];
}

export interface FaultRequest {
  kind: "region";
  region: string;
  how: "kill";
  seconds: number;
}

export interface FaultStarted {
  target: string;
  until: number;
}

/** The service's error: `{"error": {...}}`; the control plane's: `{"error": "..."}`. */
export interface ErrorBody {
  error?: string | ServiceError;
}

export interface ServiceError {
  code: string;
  message: string;
  request_id?: string;
}

export interface Stored {
  id: string;
  event_id?: string;
  committed_at?: number;
  error?: ServiceError;
}

export interface UpsertAnswer {
  results: Stored[];
  stored: number;
  region: string;
}

export interface WatchRequest {
  type: "watch";
  stream: string;
  collection: string;
  text: string;
  threshold: number;
}

export interface Heard {
  type: "match";
  stream: string;
  event_id: string;
  score: number;
  written_in: string;
  committed_at: number;
  notified_at: number;
  region: string;
}

/** What comes in on `/v1/watch`; other types are passed over. */
export type WatchMessage =
  | Heard
  | { type: "watching"; stream: string; region: string }
  | { type: "error"; stream: string | null; error: ServiceError }
  | { type: "goaway"; reason: string }
  | { type: "heartbeat" | "gap" | "dropped" };

/** One step of a trace; times in milliseconds, `began` since 1970. */
export interface Span {
  id: string;
  parent: string;
  name: string;
  service: string;
  region: string;
  began: number;
  ms: number;
  failed: boolean;
}

export interface TraceSummary {
  id: string;
  name: string;
  region: string;
  began: number;
  ms: number;
  regions: string[];
}

export interface Traces {
  traces: TraceSummary[];
}

export interface Trace extends TraceSummary {
  spans: Span[];
}
