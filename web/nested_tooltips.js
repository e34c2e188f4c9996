// The page writes the English tooltip on a widget that a preset brings and never looks for a translation. Without one it looks in
// locales/, as it does for all other widgets.
import { app } from "../../scripts/app.js"

app.registerExtension({
  name: "SeeingHearing.NestedTooltips",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (!nodeData.name.startsWith("SeeingHearing_")) return
    for (const [type, { options }] of Object.values(nodeData.input.required ?? {})) {
      if (type !== "COMFY_DYNAMICCOMBO_V3") continue
      for (const { inputs } of options) for (const [, spec] of Object.values(inputs.required ?? {})) delete spec.tooltip
    }
  }
})
