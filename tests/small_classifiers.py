"""A small input shape and small sizes for every architecture."""

_CNN = {"conv_widths": (4, 4, 8, 8), "dense_sizes": (16,)}
_LSTM = {"lstm_sizes": (12, 8), "dense_sizes": (8, 8)}
_LOG_MEL = {"conv_widths": (4, 4, 8), "dense_sizes": (8,)}
_CNN_LSTM = {"conv_widths": (4, 4), "lstm_sizes": (8, 8), "dense_sizes": (8,)}

SMALL = {  # name: (input shape, options)
    "net1": ((16, 16, 3), {"dense_sizes": (8, 8)}),
    "net2": ((16, 16, 3), _CNN),
    "net3": ((16, 16, 3), _CNN),
    "net4": ((16, 16, 3), _CNN),
    "net5": ((10, 5), _LSTM),
    "net6": ((10, 5), _LSTM),
    "cnn1": ((20, 18, 1), _LOG_MEL),
    "cnn2": ((20, 18, 1), _LOG_MEL),
    "parallel_cnn": ((16, 12, 1), {}),
    "cnn_lstm": ((18, 16, 1), _CNN_LSTM),
    "cnn_bilstm": ((12, 12, 1), _CNN_LSTM),
    "cnn_rnn": ((18, 6), _CNN_LSTM),
    "final_eff": ((36, 34, 1), {"conv_width": 4, "dense_sizes": (8,)}),
    "final_acc": ((36, 34, 1), {"conv_widths": (4, 3), "dense_sizes": (8,)}),
    "cnn_rnn_tempo": (
        (46, 46, 3),
        {"conv_widths": (3, 4, 4, 4), "gru_units": 8, "dense_size": 8},
    ),
    "mel_tempo_rnn": (
        (10, 14),
        {"conv_widths": (4, 4), "lstm_units": 8, "dense_size": 8, "tempo_lags": 6},
    ),
    "short_chunk_resnet": ((12, 10, 1), {"width": 4}),
    "cnn14": ((33, 32), {"width": 2}),
    "linear": ((6,), {}),
    "tempo": ((6,), {"examples": 4}),
}


# Networks whose layers are all in another one, which stands for them where time is long.
LARGER = {"net2": "net3", "net4": "net3", "net6": "net5", "cnn1": "cnn2", "final_eff": "final_acc"}
