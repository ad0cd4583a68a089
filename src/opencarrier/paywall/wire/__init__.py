"""The x402 exchange as text: three headers of base64 JSON."""
