import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { get } from "../api";
import type { Alert, Alerts } from "../types";

const REFRESH_MS = 10_000;

/** Alerts of the live Prometheus, or that there is none. */
export function AlertList(): JSX.Element {
  const [alerts, setAlerts] = useState<Alert[] | null>(null);
  useEffect(() => {
    const ask = (): void => {
      if (document.hidden) return;
      get<Alerts>("/console/alerts")
        .then((answer) => setAlerts(answer.data?.alerts ?? []))
        .catch(() => setAlerts(null));
    };
    ask();
    const timer = window.setInterval(ask, REFRESH_MS);
    return () => window.clearInterval(timer);
  }, []);
  if (!alerts) return <p class="alerts note">Alerts are not known: Prometheus does not answer yet.</p>;
  if (!alerts.length) return <p class="alerts note"><span class="sign up" aria-hidden="true">●</span> No alert is pending or firing.</p>;
  return (
    <ul class="alerts" aria-label="Alerts">
      {alerts.map((alert) => (
        <li key={JSON.stringify(alert.labels)} class={alert.state}>
          <b>{alert.state === "firing" ? "✕ firing" : "◐ pending"}</b> {title(alert)}
        </li>
      ))}
    </ul>
  );
}

function title({ labels, annotations }: Alert): string {
  const words = [annotations.title ?? labels.alertname ?? "alert", labels.region];
  return [...words, annotations.summary].filter(Boolean).join(" · ");
}
