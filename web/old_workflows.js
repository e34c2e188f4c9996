// Opens workflows that were saved before a node lost or renamed an input. Saved widget values go by position, so they would
// land on the wrong widgets. tests/workflows_released holds every workflow that was ever shared.
import { app } from "../../scripts/app.js"

// Inputs that Video to Audio once had between "guidance_scale" and "vision_weight"; "mode" became "preset".
const DROPPED = ["start_fraction", "inner_steps"]
const PRESETS = { paper: "paper", gradient: "gradient", x0: "x0", unet: "balanced" }
const AFTER_SEED = 1 // "control after generate" is saved as well, though it is no input

function migrate(node) {
  const names = node.inputs.filter((input) => input.widget).map((input) => input.widget.name)
  if (!names.includes("start_fraction")) return
  const place = (name) => names.indexOf(name) + (names.indexOf(name) > names.indexOf("seed") ? AFTER_SEED : 0)
  const values = node.widgets_values
  values[place("mode")] = PRESETS[values[place("mode")]]
  const dropped = DROPPED.map(place)
  node.widgets_values = values.filter((_, index) => !dropped.includes(index))
  node.inputs = node.inputs.filter((input) => !DROPPED.includes(input.widget?.name))
  const mode = node.inputs.find((input) => input.widget?.name === "mode")
  Object.assign(mode, { name: "preset", localized_name: "preset", widget: { name: "preset" } })
}

app.registerExtension({
  name: "SeeingHearing.OldWorkflows",
  beforeConfigureGraph(graph) {
    for (const node of graph.nodes ?? []) if (node.type === "SeeingHearing_VideoToAudio") migrate(node)
  }
})
