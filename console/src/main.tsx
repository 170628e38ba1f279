import { render } from "preact";
import { App } from "./app";
import { connect } from "./live";
import "uplot/dist/uPlot.min.css";
import "./styles/base.css";
import "./styles/world.css";
import "./styles/map.css";
import "./styles/rail.css";
import "./styles/board.css";
import "./styles/trace.css";

const root = document.getElementById("root");
if (root) {
  root.replaceChildren();
  render(<App />, root);
  connect();
}
