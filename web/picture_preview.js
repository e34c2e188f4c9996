// Nodes that take a VIDEO and show a picture: without this, Nodes 2.0 tries to play the picture as a video.
import { app } from "../../scripts/app.js"

const NODES = ["SeeingHearing_ScoreFit"]

app.registerExtension({
  name: "SeeingHearing.PicturePreview",
  nodeCreated(node) {
    if (NODES.includes(node.comfyClass)) node.previewMediaType = "image"
  }
})
