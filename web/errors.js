// Says at once what was wrong with an input. ComfyUI's own notice says only that a node failed; the reason is two clicks away.
import { api } from "../../scripts/api.js"
import { app } from "../../scripts/app.js"

const SHOWN_MS = 20000

app.registerExtension({
  name: "SeeingHearing.Errors",
  setup() {
    api.addEventListener("execution_error", ({ detail }) => {
      if (!detail.node_type.startsWith("SeeingHearing_") || !detail.exception_type.endsWith("InputError")) return
      app.extensionManager.toast.add({
        severity: "error", summary: LiteGraph.registered_node_types[detail.node_type]?.title ?? detail.node_type,
        detail: detail.exception_message.trim(), life: SHOWN_MS
      })
    })
  }
})
