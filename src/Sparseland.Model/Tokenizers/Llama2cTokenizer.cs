using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Sparseland.Model.Formats;

namespace Sparseland.Model.Tokenizers;

/// <summary>The tokenizer.bin of llama2.c: byte-pair encoding that merges the neighbours whose union has the highest score.</summary>
/// <remarks>
/// A text begins with a space, starts as single characters (bytes where a character is no token) and is merged until no two
/// neighbours form a token; of equal scores the leftmost is merged first. Ids 0, 1, 2 are unknown, begin, end; 3 to 258 the bytes.
/// </remarks>
public sealed class Llama2cTokenizer : ITokenizer
{
    private const int FirstByte = 3, MaxTokens = 1 << 22;

    private readonly byte[] _file;
    private readonly byte[][] _pieces;
    private readonly float[] _scores;
    // Bytes as Latin-1 text make keys that can be compared and joined.
    private readonly Dictionary<string, int> _ids = new(StringComparer.Ordinal);

    private Llama2cTokenizer(byte[] file, List<byte[]> pieces, List<float> scores)
    {
        _file = file;
        _pieces = [.. pieces];
        _scores = [.. scores];
        for (int i = 0; i < _pieces.Length; i++) _ids.TryAdd(Encoding.Latin1.GetString(_pieces[i]), i);
    }

    /// <inheritdoc/>
    public string Kind => "llama2c";

    /// <inheritdoc/>
    public int VocabularySize => _pieces.Length;

    /// <inheritdoc/>
    public int? BeginToken => 1;

    /// <inheritdoc/>
    public int? EndToken => 2;

    /// <summary>Reads a tokenizer.bin.</summary>
    /// <exception cref="ModelFormatException">SL1001, SL1503 (damaged).</exception>
    public static Llama2cTokenizer Load(string path)
    {
        using MappedFile file = MappedFile.Open(path);
        if (file.Length > 256 << 20) throw Damaged(path, $"{file.Length} bytes are far more than a vocabulary needs");
        return Parse(file.Head((int)file.Length), path);
    }

    /// <summary>Reads the bytes of a tokenizer.bin: longest token (int32), then per token score (float32), length (int32), bytes.</summary>
    /// <exception cref="ModelFormatException">SL1503: damaged.</exception>
    public static Llama2cTokenizer Parse(ReadOnlySpan<byte> bytes, string where)
    {
        if (bytes.Length < 4) throw Damaged(where, "it ends before the first token");
        var pieces = new List<byte[]>();
        var scores = new List<float>();
        for (int at = 4; at < bytes.Length;)
        {
            if (bytes.Length - at < 8 || pieces.Count >= MaxTokens) throw Damaged(where, $"token {pieces.Count} has no score and length, or there are too many");
            float score = BinaryPrimitives.ReadSingleLittleEndian(bytes[at..]);
            int length = BinaryPrimitives.ReadInt32LittleEndian(bytes[(at + 4)..]);
            if (length < 0 || length > bytes.Length - at - 8 || float.IsNaN(score)) throw Damaged(where, $"token {pieces.Count} declares {length} bytes, {bytes.Length - at - 8} are left");
            pieces.Add(bytes.Slice(at + 8, length).ToArray());
            scores.Add(score);
            at += 8 + length;
        }
        if (pieces.Count < FirstByte + 256) throw Damaged(where, $"it has {pieces.Count} tokens; three special ones and 256 bytes are the least");
        for (int b = 0; b < 256; b++)
        {
            if (Encoding.Latin1.GetString(pieces[FirstByte + b]) != $"<0x{b:X2}>") throw Damaged(where, $"token {FirstByte + b} is not the byte <0x{b:X2}>");
        }
        return new Llama2cTokenizer(bytes.ToArray(), pieces, scores);
    }

    /// <inheritdoc/>
    public int[] Encode(string text, bool addBegin = true)
    {
        ArgumentNullException.ThrowIfNull(text);
        var ids = new List<int>();
        if (text.Length > 0)
        {
            ids.Add(_ids.TryGetValue(" ", out int space) ? space : FirstByte + ' ');
            Span<byte> utf8 = stackalloc byte[4];
            foreach (Rune rune in text.EnumerateRunes())
            {
                ReadOnlySpan<byte> bytes = utf8[..rune.EncodeToUtf8(utf8)];
                if (_ids.TryGetValue(Encoding.Latin1.GetString(bytes), out int id)) ids.Add(id);
                else
                {
                    foreach (byte b in bytes) ids.Add(FirstByte + b);
                }
            }
        }
        List<int> merged = Merge([.. ids]);
        if (addBegin) merged.Insert(0, 1);
        return [.. merged];
    }

    /// <inheritdoc/>
    public void AppendBytes(int previous, int token, IBufferWriter<byte> output)
    {
        ArgumentNullException.ThrowIfNull(output);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)token, (uint)_pieces.Length, nameof(token));
        if (token is 1 or 2) return;
        if (token is >= FirstByte and < FirstByte + 256)
        {
            output.Write([(byte)(token - FirstByte)]);
            return;
        }
        ReadOnlySpan<byte> piece = _pieces[token];
        // The space before a text is the encoder's, not the writer's.
        output.Write(previous is -1 or 1 && piece.Length > 0 && piece[0] == ' ' ? piece[1..] : piece);
    }

    /// <inheritdoc/>
    public byte[] Serialize() => _file;

    /// <inheritdoc/>
    public override string ToString() => $"llama2.c tokenizer, {VocabularySize.ToString(CultureInfo.InvariantCulture)} tokens";

    private List<int> Merge(int[] ids)
    {
        int count = ids.Length;
        var next = new int[count];
        var previous = new int[count];
        for (int i = 0; i < count; i++) (next[i], previous[i]) = (i + 1 < count ? i + 1 : -1, i - 1);
        // Highest score first, then leftmost; entries whose ids have changed since are skipped.
        var queue = new PriorityQueue<(int Left, int LeftId, int RightId, int Union), (float, int)>();
        void Offer(int left)
        {
            if (left < 0 || next[left] < 0) return;
            int right = next[left];
            string union = Encoding.Latin1.GetString(_pieces[ids[left]]) + Encoding.Latin1.GetString(_pieces[ids[right]]);
            if (_ids.TryGetValue(union, out int id)) queue.Enqueue((left, ids[left], ids[right], id), (-_scores[id], left));
        }

        for (int i = 0; i + 1 < count; i++) Offer(i);
        while (queue.TryDequeue(out (int Left, int LeftId, int RightId, int Union) pair, out _))
        {
            int left = pair.Left, right = ids[left] == pair.LeftId ? next[left] : -1;
            if (right < 0 || ids[right] != pair.RightId) continue;
            ids[left] = pair.Union;
            ids[right] = -1;
            next[left] = next[right];
            if (next[right] >= 0) previous[next[right]] = left;
            Offer(previous[left]);
            Offer(left);
        }
        var result = new List<int>();
        for (int i = count > 0 ? 0 : -1; i >= 0; i = next[i]) result.Add(ids[i]);
        return result;
    }

    private static ModelFormatException Damaged(string where, string because) => new("SL1503", "this is no sound llama2.c tokenizer") { Where = where, Because = because };
}
