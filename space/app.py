"""The Space's program: everything is in the package."""

from entp_hf.webapp.app import serve

if __name__ == "__main__":
    serve(host="0.0.0.0", port=7860)
