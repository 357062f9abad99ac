module gpuplane/standin

go 1.22
