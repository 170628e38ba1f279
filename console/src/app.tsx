import type { JSX } from "preact";
import { Announcer } from "./announcer";
import { DashboardSection } from "./dashboard/section";
import { DeclaredSection } from "./declared";
import { FeedSection } from "./feed";
import { Header } from "./header";
import { lastSeen, link, world } from "./live";
import { WorldMap } from "./map/world-map";
import { RegionPanel } from "./region/panel";
import { RegionTable } from "./region/table";
import { SaySection } from "./say/section";
import { useStore } from "./store";
import { TraceSection } from "./trace/section";
import { clock } from "./format";

export function App(): JSX.Element {
  const stale = useStore(link) === "lost";
  return (
    <>
      <Header />
      <LinkBanner />
      <main class={stale ? "stale" : ""}>
        <div class="world">
          <section aria-labelledby="map-title" class="map-section">
            <h2 id="map-title" class="hidden">Map</h2>
            <WorldMap />
          </section>
          <RegionTable />
          <div class="rail">
            <RegionPanel />
            <SaySection />
            <FeedSection />
          </div>
        </div>
        <TraceSection />
        <DashboardSection />
        <DeclaredSection />
      </main>
      <footer>
        <p>Everything here is read from this machine: the control plane, Envoy, Prometheus and the regions themselves.</p>
      </footer>
      <Announcer />
    </>
  );
}

/** Says that the world is being asked for, or that nobody answers. */
function LinkBanner(): JSX.Element {
  const state = useStore(link);
  const known = useStore(world) !== null;
  return (
    <div role="status" class={`banner ${state}`}>
      {state === "lost" && <p><span aria-hidden="true">✕</span> The control plane does not answer; trying again.{known && ` Last seen ${clock(lastSeen.value)}.`}</p>}
      {state === "connecting" && !known && <p>Asking the control plane for the world…</p>}
    </div>
  );
}
