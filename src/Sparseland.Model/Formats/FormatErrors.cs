namespace Sparseland.Model.Formats;

/// <summary>The sentences that several formats share.</summary>
internal static class FormatErrors
{
    internal static ModelFormatException CannotRead(string path, Exception cause) => cause switch
    {
        FileNotFoundException or DirectoryNotFoundException => new("SL1001", $"the file '{path}' does not exist", cause)
        {
            Where = path,
            Try = "check the path; relative paths start at the current folder",
        },
        _ => new("SL1001", $"the file '{path}' cannot be read", cause) { Where = path, Because = cause.Message },
    };

    internal static ModelFormatException CannotWrite(string path, Exception cause) => new("SL1003", $"'{path}' cannot be written", cause)
    {
        Where = path,
        Because = cause.Message,
        Try = "choose another place with -o, or free space there; an existing file was left as it was",
    };

    /// <summary>The product of dimensions, checked against what one array can hold.</summary>
    internal static int CountElements(ReadOnlySpan<long> shape, Graph.ElementType type, string code, string where)
    {
        long count = 1;
        bool empty = false;
        foreach (long d in shape)
        {
            if (d < 0 || d > int.MaxValue) throw TooLarge(shape, type, where, d < 0 ? code : "SL1004");
            empty |= d == 0;
        }
        if (empty) return 0;
        foreach (long d in shape)
        {
            count *= d;
            if (count > Array.MaxLength) throw TooLarge(shape, type, where, "SL1004");
        }
        return (int)count;
    }

    internal static int[] ToInts(ReadOnlySpan<long> shape)
    {
        var result = new int[shape.Length];
        for (int i = 0; i < result.Length; i++) result[i] = checked((int)shape[i]);
        return result;
    }

    private static ModelFormatException TooLarge(ReadOnlySpan<long> shape, Graph.ElementType type, string where, string code) =>
        new(code, $"a tensor of shape [{string.Join(", ", shape.ToArray())}] ({type}) is not possible here")
        {
            Where = where,
            Because = $"dimensions are between 0 and {int.MaxValue} and their product at most {Array.MaxLength}",
        };
}
