// The player on nodes that make sound. ComfyUI puts one only on its own audio nodes; its widget, AUDIO_UI, is used here.
import { app } from "../../scripts/app.js"

const NODES = ["SeeingHearing_VideoToAudio", "SeeingHearing_ImageToAudio"]

app.registerExtension({
  name: "SeeingHearing.SoundPlayer",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (!NODES.includes(nodeData.name)) return
    // Last of all inputs: saved widget values go by position.
    nodeData.input.optional = { ...nodeData.input.optional, audioUI: ["AUDIO_UI", {}] }
  },
  nodeCreated(node) {
    if (!NODES.includes(node.comfyClass)) return
    const player = node.widgets?.find((widget) => widget.name === "audioUI")
    player?.element.classList.add("empty-audio-widget") // hidden until there is a sound; ComfyUI shows it then
  }
})
