using System.Buffers;
using System.Text;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Tokenizers;

/// <summary>What all tokenizers share: decoding whole sequences, and travelling inside a model.</summary>
public static class Tokenizer
{
    /// <summary>The text of a sequence; bytes that are no UTF-8 become replacement characters.</summary>
    public static string Decode(this ITokenizer tokenizer, ReadOnlySpan<int> tokens)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        var bytes = new ArrayBufferWriter<byte>();
        for (int i = 0; i < tokens.Length; i++) tokenizer.AppendBytes(i == 0 ? -1 : tokens[i - 1], tokens[i], bytes);
        return Encoding.UTF8.GetString(bytes.WrittenSpan);
    }

    /// <summary>Puts a tokenizer into a model's metadata, so that the model is one self-describing file.</summary>
    public static void Embed(ModelGraph model, ITokenizer tokenizer)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(tokenizer);
        model.Metadata[ModelMetadata.TokenizerKind] = tokenizer.Kind;
        model.Metadata[ModelMetadata.TokenizerData] = Convert.ToBase64String(tokenizer.Serialize());
    }

    /// <summary>The tokenizer in a model's metadata; null when there is none.</summary>
    /// <exception cref="ModelFormatException">SL1503: the data are damaged; SL1504: a kind that is not known.</exception>
    public static ITokenizer? Find(ModelGraph model)
    {
        ArgumentNullException.ThrowIfNull(model);
        if (!model.Metadata.TryGetValue(ModelMetadata.TokenizerKind, out string? kind)) return null;
        byte[] data;
        try
        {
            data = Convert.FromBase64String(model.Metadata.GetValueOrDefault(ModelMetadata.TokenizerData, ""));
        }
        catch (FormatException e)
        {
            throw new ModelFormatException("SL1503", "the tokenizer inside the model is damaged", e) { Where = ModelMetadata.TokenizerData };
        }
        return kind switch
        {
            "llama2c" => Llama2cTokenizer.Parse(data, "the tokenizer inside the model"),
            "bytes" => ByteTokenizer.Instance,
            _ => throw new ModelFormatException("SL1504", $"the model's tokenizer is of kind '{kind}', which is not known") { Try = "known kinds: llama2c, bytes" },
        };
    }
}

/// <summary>Turns tokens into text one by one, holding back the bytes of unfinished characters.</summary>
public sealed class TokenTextStream(ITokenizer tokenizer)
{
    private readonly Decoder _decoder = Encoding.UTF8.GetDecoder();
    private readonly ArrayBufferWriter<byte> _bytes = new();
    private int _previous = -1;

    /// <summary>The text that a further token completes; may be empty.</summary>
    public string Push(int token)
    {
        _bytes.ResetWrittenCount();
        tokenizer.AppendBytes(_previous, token, _bytes);
        _previous = token;
        var chars = new char[_bytes.WrittenCount + 4];
        int count = _decoder.GetChars(_bytes.WrittenSpan, chars, flush: false);
        return new string(chars, 0, count);
    }
}
