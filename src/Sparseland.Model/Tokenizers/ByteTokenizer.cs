using System.Buffers;
using System.Text;

namespace Sparseland.Model.Tokenizers;

/// <summary>Every UTF-8 byte is a token: 256 ids, no special ones.</summary>
public sealed class ByteTokenizer : ITokenizer
{
    private ByteTokenizer()
    {
    }

    /// <summary>The only instance.</summary>
    public static ByteTokenizer Instance { get; } = new();

    /// <inheritdoc/>
    public string Kind => "bytes";

    /// <inheritdoc/>
    public int VocabularySize => 256;

    /// <inheritdoc/>
    public int? BeginToken => null;

    /// <inheritdoc/>
    public int? EndToken => null;

    /// <inheritdoc/>
    public int[] Encode(string text, bool addBegin = true)
    {
        ArgumentNullException.ThrowIfNull(text);
        return Array.ConvertAll(Encoding.UTF8.GetBytes(text), b => (int)b);
    }

    /// <inheritdoc/>
    public void AppendBytes(int previous, int token, IBufferWriter<byte> output)
    {
        ArgumentNullException.ThrowIfNull(output);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)token, 255u, nameof(token));
        output.Write([(byte)token]);
    }

    /// <inheritdoc/>
    public byte[] Serialize() => [];
}
