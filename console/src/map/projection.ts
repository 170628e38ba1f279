import { geoGraticule, geoNaturalEarth1, geoPath, type GeoPath, type GeoProjection } from "d3-geo";
import type { MultiPoint } from "geojson";
import { feature } from "topojson-client";
import type { GeometryCollection, Topology } from "topojson-specification";
import land110 from "world-atlas/land-110m.json";

export interface Size {
  width: number;
  height: number;
}

export interface Chart {
  projection: GeoProjection;
  path: GeoPath;
  land: string;
  graticule: string;
  /** The line the product is named after: longitude 0. */
  meridian: string;
}

/** What must be in view: every coast that has a region, and the way between them. */
const VIEW: MultiPoint = {
  type: "MultiPoint",
  coordinates: [
    [-152, 40],
    [-92, 78],
    [178, 40],
    [178, -44],
    [-72, -52],
    [40, 78],
  ],
};

const topology = land110 as unknown as Topology<{ land: GeometryCollection }>;
const LAND = feature(topology, topology.objects.land);
const GRID = geoGraticule().step([30, 30])();
/** Cuts the map in the Bering Strait instead of through Chukotka. */
const CENTRE: [number, number] = [-11, 0];

export function chart({ width, height }: Size): Chart {
  const projection = geoNaturalEarth1().rotate(CENTRE);
  projection.fitExtent([[0, 8], [width, height - 8]], VIEW);
  projection.clipExtent([[-1, -1], [width + 1, height + 1]]);
  const path = geoPath(projection).digits(1);
  const meridian = { type: "LineString", coordinates: [[0, -80], [0, 0], [0, 80]] } as const;
  return {
    projection,
    path,
    land: path(LAND) ?? "",
    graticule: path(GRID) ?? "",
    meridian: path({ ...meridian, coordinates: meridian.coordinates.map((p) => [...p]) }) ?? "",
  };
}

export function place(chart: Chart, longitude: number, latitude: number): [number, number] {
  return chart.projection([longitude, latitude]) ?? [0, 0];
}
