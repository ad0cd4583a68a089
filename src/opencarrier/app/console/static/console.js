// What every page has: the state of the line, light or dark.
import { Line } from "./line.js";
import { offerThemes } from "./theme.js";

offerThemes(document.getElementById("theme"));
new Line(document.getElementById("line"), document.getElementById("lost"));
